/* Preloaded into every process of a test: writes each attempt to reach something outside loopback to $CONNECTIONS.
   It sees calls of the C library. Static programs, raw system calls and io_uring pass it by: those the kernel counts. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *call, const char *where)
{
    char line[512];
    const char *path = getenv("CONNECTIONS");
    int length = snprintf(line, sizeof line, "%s %s %s\n", program_invocation_short_name, call, where);
    int file = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (file < 0 || length <= 0)
        abort(); /* A test must not take silence for innocence. */
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    if (write(file, line, (size_t)length) != length)
        abort();
    close(file);
}

static int is_loopback6(const struct in6_addr *address)
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        return address->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(address);
}

static void look(const char *call, const struct sockaddr *to, socklen_t size)
{
    char text[INET6_ADDRSTRLEN] = "?", where[INET6_ADDRSTRLEN + 16];
    int port, saved = errno;

    if (to == NULL || size < sizeof(sa_family_t))
        return;
    if (to->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *four = (const void *)to;
        if (ntohl(four->sin_addr.s_addr) >> 24 == 127)
            return;
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
        port = ntohs(four->sin_port);
    } else if (to->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *six = (const void *)to;
        if (is_loopback6(&six->sin6_addr))
            return;
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
        port = ntohs(six->sin6_port);
    } else {
        return;
    }
    snprintf(where, sizeof where, "%s port %d", text, port);
    note(call, where);
    errno = saved;
}

static void look_up(const char *call, const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    int saved = errno;

    /* Numbers are not looked up, and connecting to them is seen. This machine's own names are in /etc/hosts. */
    if (name != NULL && strcmp(name, "localhost") != 0 && inet_pton(AF_INET, name, address) != 1 &&
        inet_pton(AF_INET6, name, address) != 1)
        note(call, name);
    errno = saved;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int connect(int socket, const struct sockaddr *to, socklen_t size)
{
    look("connect", to, size);
    return NEXT(connect)(socket, to, size);
}

ssize_t sendto(int socket, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    look("sendto", to, size);
    return NEXT(sendto)(socket, data, length, flags, to, size);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    look("sendmsg", message->msg_name, message->msg_namelen);
    return NEXT(sendmsg)(socket, message, flags);
}

int sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags)
{
    unsigned int index;

    for (index = 0; index < count; index++)
        look("sendmmsg", messages[index].msg_hdr.msg_name, messages[index].msg_hdr.msg_namelen);
    return NEXT(sendmmsg)(socket, messages, count, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    look_up("getaddrinfo", name);
    return NEXT(getaddrinfo)(name, service, hints, found);
}

struct hostent *gethostbyname(const char *name)
{
    look_up("gethostbyname", name);
    return NEXT(gethostbyname)(name);
}

int gethostbyname_r(const char *name, struct hostent *result, char *buffer, size_t size, struct hostent **found,
                    int *error)
{
    look_up("gethostbyname_r", name);
    return NEXT(gethostbyname_r)(name, result, buffer, size, found, error);
}
