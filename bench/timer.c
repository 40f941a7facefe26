/*
 * timer STDIN PROGRAM ARGS...
 * Runs a program with the file STDIN as its input and prints the nanoseconds from before the fork to its end, and the
 * kilobytes of memory that it had at most.
 * The driver's own run time would cost more than the programs that are measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct timespec begin, end;
  int status = 0;
  struct rusage used;
  if (argc < 3) return 125;
  int input = open(argv[1], O_RDONLY | O_CLOEXEC);
  int output = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (input < 0 || output < 0) {
    fprintf(stderr, "timer: open %s: %s\n", argv[1], strerror(errno));
    return 125;
  }
  clock_gettime(CLOCK_MONOTONIC, &begin);
  pid_t child = vfork();
  if (child == 0) {
    dup2(input, 0);
    dup2(output, 1);
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  if (child < 0) {
    perror("timer: vfork");
    return 125;
  }
  while (wait4(child, &status, 0, &used) < 0 && errno == EINTR)
    ;
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%lld %ld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec, used.ru_maxrss);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
