/* Plays the processes of a queue manager, by the name that it is executed by and with the words of the product:
 * amqzxma0 is the execution controller, all others only live. The state is in DIR/QM/, where DIR is "var" beside the
 * directory of this program. The controller ends when the file "request" appears, unless a file "ignore-<word in it>" is
 * there too; the others end when the file "gone" appears. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char base[3000];
static char name[100];

static char *path(const char *file)
{
	static char text[4][4000];
	static int next;
	char *result = text[next++ % 4];
	snprintf(result, sizeof text[0], "%s/var/%s/%s", base, name, file);
	return result;
}

static int is_there(const char *file) { return access(path(file), F_OK) == 0; }

static void put(const char *file, const char *text)
{
	char new[200];
	snprintf(new, sizeof new, ".%s.%d", file, getpid());
	FILE *to = fopen(path(new), "w");
	if (!to) return;
	fputs(text, to);
	fclose(to);
	rename(path(new), path(file));
}

static int get(const char *file, char *text, int size)
{
	FILE *from = fopen(path(file), "r");
	text[0] = 0;
	if (!from) return 0;
	if (!fgets(text, size, from)) text[0] = 0;
	text[strcspn(text, "\n")] = 0;
	fclose(from);
	return 1;
}

static void child(const char *program, char *const words[])
{
	char file[4000];
	snprintf(file, sizeof file, "%s/bin/%s", base, program);
	if (fork() == 0) {
		execv(file, words);
		_exit(127);
	}
}

static void family(void)
{
	char attached[110], *plain = name;
	snprintf(attached, sizeof attached, "-m%s", name);
	child("amqzmuc0", (char *[]) { "amqzmuc0", attached, NULL });
	child("amqzlaa0", (char *[]) { "amqzlaa0", attached, "-fip0", NULL });
	child("amqfqpub", (char *[]) { "amqfqpub", attached, NULL });
	if (!is_there("no-command-server")) child("amqpcsea", (char *[]) { "amqpcsea", plain, NULL });
	if (!is_there("no-listener"))
		child("runmqlsr", (char *[]) { "runmqlsr", "-r", "-m", plain, "-t", "TCP", NULL });
}

static void control(void)
{
	char request[100], ignore[120], state[100];
	if (is_there("standby")) {
		put("status", "RUNNING AS STANDBY");
	} else {
		put("status", "STARTING");
		while (is_there("stay-starting")) usleep(20000);
		family();
		if (get("dies-at-once", state, sizeof state)) { unlink(path("dies-at-once")); _exit(1); }
		put("status", "RUNNING");
	}
	for (;; usleep(20000)) {
		if (!get("request", request, sizeof request)) continue;
		snprintf(ignore, sizeof ignore, "ignore-%s", request);
		if (is_there(ignore)) continue;
		put("status", strcmp(request, "i") == 0 ? "ENDING IMMEDIATELY" :
			strcmp(request, "p") == 0 ? "ENDING PRE-EMPTIVELY" : "QUIESCING");
		while (is_there("stay-ending")) usleep(20000);
		put("gone", "");
		put("status", strcmp(request, "i") == 0 ? "ENDED IMMEDIATELY" :
			strcmp(request, "p") == 0 ? "ENDED PRE-EMPTIVELY" : "ENDED NORMALLY");
		unlink(path("request"));
		unlink(path("pid"));
		_exit(0);
	}
}

int main(int count, char **words)
{
	for (int i = 1; i < count; i++) {
		if (strcmp(words[i], "-m") == 0 && i + 1 < count) snprintf(name, sizeof name, "%s", words[i + 1]);
		else if (strncmp(words[i], "-m", 2) == 0 && words[i][2]) snprintf(name, sizeof name, "%s", words[i] + 2);
		else if (!name[0] && words[i][0] != '-') snprintf(name, sizeof name, "%s", words[i]);
	}
	ssize_t length = readlink("/proc/self/exe", base, sizeof base - 1);
	if (length < 0) return 1;
	base[length] = 0;
	char *own = strrchr(base, '/');
	int is_controller = strcmp(own + 1, "amqzxma0") == 0;
	*own = 0;
	*strrchr(base, '/') = 0;
	if (is_controller) {
		/* As a daemon, and known before anybody waits for it. */
		if (fork() > 0) _exit(0);
		setsid();
		for (int fd = 0; fd < 3; fd++) dup2(open("/dev/null", O_RDWR), fd);
		char pid[20];
		snprintf(pid, sizeof pid, "%d\n", getpid());
		put("pid", pid);
		control();
	}
	/* One that stays behind has to be killed, until which it is in the way of the next start. */
	while (!is_there("gone") || is_there("stay-behind")) usleep(20000);
	return 0;
}
