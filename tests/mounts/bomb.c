/* Processes that multiply in a directory, each with a file open there:
 *
 *   bomb MOST MANNER DIRECTORY READY
 *
 * MANNER grow: each begins another one, and half of them end. MANNER run: each begins another one and ends. There are
 * never more than MOST, and the machine stays usable. The first process does not use the directory; it ends with its parent.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Nobody else is this user, so that the limit counts these processes alone. */
static const uid_t nobody = 54321;

static int coin(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_nsec / 64 ^ getpid()) & 1;
}

int main(int words, char **word)
{
    if (words != 5) return 2;
    struct rlimit most = {atol(word[1]), atol(word[1])};
    int run = word[2][0] == 'r';

    /* Nobody waits for them, so that none stays a zombie. */
    signal(SIGCHLD, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (nice(15) == -1) return 3;
    if (fork() == 0) {
        signal(SIGTERM, SIG_IGN);
        int ready = open(word[4], O_CREAT | O_WRONLY, 0600);
        if (ready < 0 || chdir(word[3]) != 0 || setrlimit(RLIMIT_NPROC, &most) != 0 || setuid(nobody) != 0) _exit(1);
        close(ready);
        for (;;) {
            int file = open("file", O_RDONLY);
            pid_t pid = fork();
            if (pid > 0 ? run || coin() : pid < 0 && coin()) _exit(0);
            close(file);
        }
    }
    for (;;) pause();
}
