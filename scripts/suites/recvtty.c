/*
 * Stands for runc's contrib/cmd/recvtty, which its tests call: takes the terminals that runtimes send to a socket.
 *
 * recvtty --pid-file FILE [--mode null] [--no-stdin] SOCKET: with `null` what comes from each terminal is dropped; without
 * it the first one's output is copied to standard output. In C, since tests do not wait until it listens.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TERMINALS 256

static int receive(int connection) {
  char byte[4096], control[CMSG_SPACE(sizeof(int))];
  struct iovec data = {byte, sizeof byte};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int terminal = -1;
  if (recvmsg(connection, &message, 0) >= 0) {
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&terminal, CMSG_DATA(header), sizeof terminal);
  }
  close(connection);
  return terminal;
}

int main(int argc, char **argv) {
  const char *pid_file = NULL;
  int keep = 1;
  for (int i = 1; i < argc - 1; i++) {
    if (!strcmp(argv[i], "--pid-file")) pid_file = argv[++i];
    else if (!strcmp(argv[i], "--mode")) keep = strcmp(argv[++i], "null");
  }
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc < 2 || strlen(argv[argc - 1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[argc - 1]);
  struct pollfd all[TERMINALS] = {{.fd = socket(AF_UNIX, SOCK_STREAM, 0), .events = POLLIN}};
  if (bind(all[0].fd, (struct sockaddr *)&address, sizeof address) || listen(all[0].fd, 16)) return perror(address.sun_path), 1;
  if (pid_file) {
    FILE *file = fopen(pid_file, "w");
    if (!file) return perror(pid_file), 1;
    fprintf(file, "%d", getpid());
    fclose(file);
  }
  int count = 1;
  for (;;) {
    if (poll(all, count, -1) < 0 && errno != EINTR) return 1;
    for (int i = count - 1; i > 0; i--) {
      if (!all[i].revents) continue;
      char bytes[4096];
      ssize_t length = read(all[i].fd, bytes, sizeof bytes);
      if (length > 0) {
        if (keep && write(1, bytes, length) < 0) return 1;
        continue;
      }
      if (keep) return 0;
      close(all[i].fd);  // EIO: the other side is closed
      all[i] = all[--count];
    }
    if (all[0].revents & POLLIN && count < TERMINALS) {
      int terminal = receive(accept(all[0].fd, NULL, NULL));
      if (terminal >= 0) all[count++] = (struct pollfd){.fd = terminal, .events = POLLIN};
    }
  }
}
