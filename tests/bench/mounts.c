/* The floor of what is done with mounts:
 *
 *   mounts           reads the table of mounts once, and looks at none
 *   mounts POINT     unmounts
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int words, char **word)
{
    static char buffer[65536];
    ssize_t length;

    if (words > 1) return umount2(word[1], UMOUNT_NOFOLLOW) == 0 ? 0 : 1;
    int table = open("/proc/self/mountinfo", O_RDONLY);
    while ((length = read(table, buffer, sizeof buffer)) > 0) {}
    return length == 0 ? 0 : 1;
}
