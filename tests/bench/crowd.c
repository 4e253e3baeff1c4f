/* Many processes with files open, some of which use a directory:
 *
 *   crowd COUNT FILES USERS [DIRECTORY]
 *   -> "ready", when all of them are there; they end when the input does
 *
 * Each has FILES descriptors of files of its own; of all, evenly, USERS have another one of a new file in DIRECTORY.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const files[] = {"/dev/null", "/proc/version", "/etc/passwd", "/etc/hostname", "/"};

int main(int words, char **word)
{
    long count = words > 3 ? atol(word[1]) : 0, each = words > 3 ? atol(word[2]) : 0;
    long users = words > 3 ? atol(word[3]) : 0;
    int ready[2];
    char byte = 0, path[4096];

    close_range(3, ~0U, 0);
    signal(SIGCHLD, SIG_IGN);
    if (count < 1 || (users > 0 && words < 5) || pipe(ready) != 0) return 2;
    for (long number = 0; number < count; number++) {
        pid_t pid = fork();
        if (pid < 0) return 3;
        if (pid > 0) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (long file = 0; file < each; file++)
            if (open(files[file % 5], O_RDONLY | O_CLOEXEC) < 0) _exit(1);
        if (users > 0 && number * users / count != (number + 1) * users / count) {
            snprintf(path, sizeof path, "%s/%ld", word[4], number);
            if (open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) < 0) _exit(1);
        }
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    for (long number = 0; number < count; number++)
        if (read(ready[0], &byte, 1) != 1) return 4;
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    return 0;
}
