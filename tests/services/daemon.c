/* A daemon that behaves in the way that its first argument says. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void stay(void) { for (;;) pause(); }

/* A process of its own session below process 1, as daemon(3) leaves it. */
static void daemonize(int twice)
{
	if (fork() > 0) _exit(0);
	setsid();
	if (twice && fork() > 0) _exit(0);
	for (int fd = 0; fd < 3; fd++) dup2(open("/dev/null", O_RDWR), fd);
}

static void write_pid(const char *path)
{
	FILE *file = path ? fopen(path, "w") : NULL;
	if (file) { fprintf(file, "%d\n", getpid()); fclose(file); }
}

static void on_term_multiply(int signal)
{
	(void)signal;
	for (int i = 0; i < 5000; i++) {
		if (fork() == 0) {
			struct sigaction ignore = { .sa_handler = SIG_IGN };
			sigaction(SIGTERM, &ignore, NULL);
			setsid();
			stay();
		}
		usleep(500);
	}
}

static void on_usr1_become_sleep(int signal)
{
	(void)signal;
	execl("/bin/sleep", "daemon", "1000", (char *)NULL);
}

/* A child that keeps nothing of where it comes from but its parent. */
static void on_usr1_hide_a_child(int signal)
{
	char *none[] = { NULL };
	(void)signal;
	if (fork() == 0) {
		setsid();
		execle("/proc/self/exe", "hidden", "stay", (char *)NULL, none);
	}
}

static void say(const char *text)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path) exit(9);
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof address);
	close(fd);
}

static volatile sig_atomic_t silent;

static void on_usr1_fall_silent(int signal) { (void)signal; silent = 1; }

/* Answers each connection on a port of the loopback interface as a web server does. */
static void serve(const char *port, int delay)
{
	static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfine\n";
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	char question[4096];
	signal(SIGUSR1, on_usr1_fall_silent);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64)) {
		perror("bind");
		exit(1);
	}
	for (;;) {
		int client = accept(fd, NULL, NULL);
		while (silent) pause();
		usleep(1000 * delay);
		if (read(client, question, sizeof question) > 0 && write(client, answer, sizeof answer - 1) < 0) perror("write");
		close(client);
	}
}

/* A file system that answers no question but the first: who asks hangs in the kernel, where no signal reaches it. */
static void answer_nobody(const char *place)
{
	static char question[1 << 18];
	struct fuse_in_header *head = (struct fuse_in_header *)question;
	struct { struct fuse_out_header head; struct fuse_init_out init; } answer;
	char options[64];
	int fd = open("/dev/fuse", O_RDWR);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (mount("nobody", place, "fuse", 0, options) || read(fd, question, sizeof question) < 0) {
		perror("fuse");
		exit(1);
	}
	memset(&answer, 0, sizeof answer);
	answer.head.len = sizeof answer;
	answer.head.unique = head->unique;
	answer.init.major = FUSE_KERNEL_VERSION;
	answer.init.minor = FUSE_KERNEL_MINOR_VERSION;
	answer.init.max_write = 4096;
	if (write(fd, &answer, sizeof answer) < 0) perror("fuse");
	/* What was taken is waited for without an end. */
	while (read(fd, question, sizeof question) > 0);
}

static void *stay_in_thread(void *nothing) { (void)nothing; stay(); return NULL; }

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "stay";
	const char *extra = argc > 2 ? argv[2] : NULL;
	signal(SIGHUP, SIG_IGN);
	if (!strcmp(mode, "stay")) {
		write_pid(extra);
	} else if (!strcmp(mode, "fork")) {
		daemonize(0); write_pid(extra);
	} else if (!strcmp(mode, "double")) {
		daemonize(1); write_pid(extra);
	} else if (!strcmp(mode, "stranger")) { /* nothing of where it comes from is left but the kernel's books */
		daemonize(1);
		char *none[] = { NULL };
		execle(argv[0], "stranger", "stay", (char *)NULL, none);
	} else if (!strcmp(mode, "deaf")) {
		signal(SIGTERM, SIG_IGN);
		if (fork() == 0) { setsid(); stay(); }
	} else if (!strcmp(mode, "bomb")) {
		signal(SIGTERM, on_term_multiply);
	} else if (!strcmp(mode, "workers")) {
		for (int i = 0; i < 3; i++) if (fork() == 0) { setsid(); stay(); }
	} else if (!strcmp(mode, "become")) {
		signal(SIGUSR1, on_usr1_become_sleep);
	} else if (!strcmp(mode, "hides")) {
		signal(SIGUSR1, on_usr1_hide_a_child);
	} else if (!strcmp(mode, "crowd")) { /* many who have nothing to do with anybody */
		for (int i = extra ? atoi(extra) : 0; i > 0; i--) if (fork() == 0) { setsid(); stay(); }
		write_pid(argc > 3 ? argv[3] : NULL);
	} else if (!strcmp(mode, "chatty")) { /* has something to say all the time, but not that it is up */
		for (;;) say("STATUS=busy\nREADY=0\n");
	} else if (!strcmp(mode, "notify")) {
		usleep(700000); say("STATUS=up\nREADY=1\n");
	} else if (!strcmp(mode, "mute")) {
		;
	} else if (!strcmp(mode, "mainpid")) { /* the process that stays is another one than the one that was started */
		if (fork() == 0) {
			char text[64];
			setsid();
			snprintf(text, sizeof text, "MAINPID=%d\nREADY=1\n", getpid());
			say(text);
			stay();
		}
	} else if (!strcmp(mode, "hung")) { /* waits in the kernel for a child that never lets it go */
		if (vfork() == 0) stay();
	} else if (!strcmp(mode, "serve")) { /* after so many milliseconds */
		usleep(1000 * (argc > 3 ? atoi(argv[3]) : 0)); serve(extra, 0);
	} else if (!strcmp(mode, "serve-slowly")) { /* each answer takes so many milliseconds */
		serve(extra, argc > 3 ? atoi(argv[3]) : 0);
	} else if (!strcmp(mode, "serve-forked")) { /* the first process outlives the first answer */
		if (fork() > 0) { usleep(500000); return 0; }
		setsid(); usleep(400000); serve(extra, 0);
	} else if (!strcmp(mode, "answer-nobody")) {
		answer_nobody(extra);
	} else if (!strcmp(mode, "threads")) {
		pthread_t thread;
		pthread_create(&thread, NULL, stay_in_thread, NULL);
		pthread_exit(NULL);
	} else if (!strcmp(mode, "die")) {
		fprintf(stderr, "first line\ncannot open the thing\n");
		return 7;
	} else if (!strcmp(mode, "late")) {
		usleep(300000); return 0;
	} else {
		return 8;
	}
	stay();
}
