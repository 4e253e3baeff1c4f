/* Runs a program, COUNT times at once, and says what that cost:
 *
 *   launch COUNT PROGRAM [WORD...]
 *   -> wall (ns)  CPU of all (us)  peak memory of the largest (KiB)  highest exit code
 *
 * A program of its own, and a small one: Linux lets a new program begin with the peak memory of the one it was
 * started from, which would hide that of the small programs here.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long microseconds(struct timeval time) { return time.tv_sec * 1000000L + time.tv_usec; }

int main(int count, char **words)
{
    posix_spawn_file_actions_t silence;
    long cpu = 0, peak = 0, times = count > 2 ? atol(words[1]) : 0;
    int status, worst = 0;
    struct rusage used;
    pid_t pid;

    if (times < 1) return 2;
    posix_spawn_file_actions_init(&silence);
    for (int stream = 0; stream <= 2; stream++)
        posix_spawn_file_actions_addopen(&silence, stream, "/dev/null", O_RDWR, 0);
    long long begin = nanoseconds();
    for (long started = 0; started < times; started++)
        if (posix_spawn(&pid, words[2], &silence, NULL, words + 2, environ) != 0) return 3;
    for (long ended = 0; ended < times; ended++) {
        if (wait4(-1, &status, 0, &used) < 0) return 4;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
        if (code > worst) worst = code;
        cpu += microseconds(used.ru_utime) + microseconds(used.ru_stime);
        if (used.ru_maxrss > peak) peak = used.ru_maxrss;
    }
    long long wall = nanoseconds() - begin;
    printf("%lld %ld %ld %d\n", wall, cpu, peak, worst);
    return 0;
}
