/* One kernel dump: what any program costs that asks for the addresses of an interface, and looks at none of them.
 *
 *   dump INDEX 4|6
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words)
{
    static char answer[65536];
    struct { struct nlmsghdr header; struct ifaddrmsg message; } question = {
        .header = { sizeof question, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 },
    };
    int on = 1, kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (count != 3 || kernel < 0) return 1;
    question.message.ifa_index = (unsigned)atoi(words[1]);
    question.message.ifa_family = words[2][0] == '6' ? AF_INET6 : AF_INET;
    setsockopt(kernel, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    if (send(kernel, &question, sizeof question, 0) < 0) return 1;
    for (;;) {
        ssize_t length = recv(kernel, answer, sizeof answer, 0);
        if (length < (ssize_t)sizeof(struct nlmsghdr)) return 1;
        /* The end may stand behind other messages. */
        unsigned left = (unsigned)length;
        for (struct nlmsghdr *at = (void *)answer; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
            if (at->nlmsg_type == NLMSG_DONE) return 0;
            if (at->nlmsg_type == NLMSG_ERROR) return 1;
        }
    }
}
