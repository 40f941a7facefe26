/*
 * hook STORE RUN BASE, the container's state on stdin: the system calls of `veneer hook oci` at createRuntime,
 * in the same order, for one base in place with opaque /root and /tmp. It is the floor that the benchmark
 * measures against: it parses JSON by looking for keys, checks little, and undoes nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define FSCONFIG(context, command, key, value, number) \
  check(syscall(SYS_fsconfig, context, command, key, value, number), "fsconfig")

static long check(long result, const char *what) {
  if (result >= 0) return result;
  fprintf(stderr, "hook: %s: %s\n", what, strerror(errno));
  exit(1);
}

static char *read_fd(int fd, char *buffer, size_t size) {
  size_t length = 0;
  ssize_t count;
  while ((count = check(read(fd, buffer + length, size - 1 - length), "read")) > 0) length += count;
  buffer[length] = 0;
  return buffer;
}

/* The file's text, or NULL where there is none. */
static char *read_file(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  read_fd(fd, buffer, size);
  close(fd);
  return buffer;
}

/* The string or number behind "key": in a JSON text without escapes. */
static char *member(const char *json, const char *key, char *value, size_t size) {
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\":", key);
  const char *at = strstr(json, quoted);
  if (at == NULL) check(-1, key);
  at += strlen(quoted);
  while (*at == ' ') at++;
  int string = *at == '"';
  at += string;
  size_t length = strcspn(at, string ? "\"" : ",}\n");
  snprintf(value, size, "%.*s", (int)length, at);
  return value;
}

static long start_time(const char *pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  if (!read_file(path, text, sizeof text)) check(-1, path);
  char *field = strrchr(text, ')') + 2;
  for (int index = 0; index < 19; index++) field = strchr(field, ' ') + 1;
  return atol(field);
}

static uint64_t hash(const char *text) {
  uint64_t value = 0xcbf29ce484222325;
  for (; *text; text++) value = (value ^ (unsigned char)*text) * 0x100000001b3;
  return value;
}

static unsigned long mount_id(int fd, mode_t *mode) {
  struct statx status;
  check(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &status), "statx");
  if (mode) *mode = status.stx_mode;
  return status.stx_mnt_id;
}

static int open_beneath(int dir, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
  return syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static void opaque(int layer, int upper, const char *path) {
  struct statx status;
  char value[256], full[64], names[4096];
  check(statx(layer, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status), path);
  snprintf(full, sizeof full, "/proc/self/fd/%d/%s", layer, path);
  getxattr(full, "trusted.overlay.opaque", value, sizeof value);
  check(llistxattr(full, names, sizeof names), "llistxattr");
  check(mkdirat(upper, path, 0700), path);
  snprintf(full, sizeof full, "/proc/self/fd/%d/%s", upper, path);
  check(lsetxattr(full, "trusted.overlay.opaque", "y", 1, 0), "lsetxattr");
  check(fchmodat(upper, path, status.stx_mode & 07777, 0), "fchmodat");
}

static int overlay(int layer, const char *directory, const char *source) {
  int parent = check(open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), directory);
  int upper = check(openat(parent, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC), "upper");
  int work = check(openat(parent, "work", O_PATH | O_DIRECTORY | O_CLOEXEC), "work");
  int context = check(syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC), "fsopen");
  FSCONFIG(context, FSCONFIG_SET_STRING, "source", source, 0);
  FSCONFIG(context, FSCONFIG_SET_FD, "lowerdir+", NULL, layer);
  FSCONFIG(context, FSCONFIG_SET_FD, "upperdir", NULL, upper);
  FSCONFIG(context, FSCONFIG_SET_FD, "workdir", NULL, work);
  FSCONFIG(context, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
  FSCONFIG(context, FSCONFIG_SET_STRING, "index", "off", 0);
  FSCONFIG(context, FSCONFIG_SET_STRING, "redirect_dir", "off", 0);
  FSCONFIG(context, FSCONFIG_SET_STRING, "metacopy", "off", 0);
  FSCONFIG(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  int mount = check(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0), "fsmount");
  close(context);
  close(work);
  close(upper);
  close(parent);
  return mount;
}

static void attach(int mount, int target) {
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check(syscall(SYS_move_mount, mount, "", target, "", flags), "move_mount");
}

/* Looks, as the hook does, for a descriptor of the process on the root that is about to be covered. */
static void check_descriptors(const char *pid, unsigned long root_id) {
  char path[320], text[4096];
  snprintf(path, sizeof path, "/proc/%s/comm", pid);
  read_file(path, text, sizeof text);
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  DIR *directory = opendir(path);
  if (!directory) check(-1, path);
  for (struct dirent *entry; (entry = readdir(directory));) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", pid, entry->d_name);
    char *found = read_file(path, text, sizeof text) ? strstr(text, "mnt_id:") : NULL;
    if (found && strtoul(found + 7, NULL, 10) == root_id) {
      fprintf(stderr, "hook: the root is held open\n");
      exit(1);
    }
  }
  closedir(directory);
}

static void cover(int mount, const char *pid, const char *root) {
  static char mountinfo[1 << 20];
  char path[64], *paths[256];
  int clones[256], count = 0;
  snprintf(path, sizeof path, "/proc/%s/mountinfo", pid);
  read_file(path, mountinfo, sizeof mountinfo);
  snprintf(path, sizeof path, "/proc/%s/ns/mnt", pid);
  int namespace = check(open(path, O_RDONLY | O_CLOEXEC), path);
  check(unshare(CLONE_FS), "unshare");
  check(setns(namespace, CLONE_NEWNS), "setns");
  close(namespace);
  int target = check(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), root);
  unsigned long root_id = mount_id(target, NULL);
  check_descriptors(pid, root_id);
  size_t length = strlen(root);
  char *rest = mountinfo;
  for (char *line; (line = strsep(&rest, "\n"));) {
    unsigned long parent;
    char point[4096];
    if (sscanf(line, "%*u %lu %*s %*s %4095s", &parent, point) != 2 || parent != root_id) continue;
    if (strncmp(point, root, length) != 0 || point[length] != '/') continue;
    paths[count] = strdup(point + length + 1);
    int top = check(open_beneath(target, paths[count], O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), point);
    mount_id(top, NULL);
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
    clones[count++] = check(syscall(SYS_open_tree, top, "", flags), "open_tree");
    close(top);
  }
  attach(mount, target);
  for (int index = 0; index < count; index++) {
    mode_t mode;
    mount_id(clones[index], &mode);
    uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    int point = check(open_beneath(mount, paths[index], O_PATH, resolve), paths[index]);
    attach(clones[index], point);
    close(clones[index]);
    close(point);
  }
  close(target);
}

int main(int argc, char **argv) {
  static char state[65536], config[65536], manifest[65536], text[65536];
  char id[256], pid[32], bundle[2048], root[2048], layer_path[2048], path[4096], temporary[4200];
  char directory[4096], source[64], place[4096], record[8192];
  if (argc != 4) return 2;
  const char *store = argv[1], *run = argv[2], *base = argv[3];
  read_file("/etc/veneer/config.json", text, sizeof text);
  read_fd(0, state, sizeof state);
  member(state, "id", id, sizeof id);
  member(state, "pid", pid, sizeof pid);
  member(state, "bundle", bundle, sizeof bundle);
  long started = start_time(pid);
  snprintf(path, sizeof path, "%s/config.json", bundle);
  read_file(path, config, sizeof config);
  member(strstr(config, "\"root\""), "path", text, sizeof text);
  snprintf(root, sizeof root, "%.1000s%s%.1000s", text[0] == '/' ? "" : bundle, text[0] == '/' ? "" : "/", text);

  snprintf(path, sizeof path, "%s/ephemeral", store);
  mkdir(path, 0700);
  snprintf(path, sizeof path, "%s/records", run);
  mkdir(path, 0700);
  snprintf(place, sizeof place, "oci %s %s", id, bundle);
  snprintf(path, sizeof path, "%s/records/%s~%016lx.json", run, id, hash(place));
  read_file(path, text, sizeof text);
  snprintf(text, sizeof text, "%s/bases/%s", store, base);
  int lock = check(open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC), text);
  check(flock(lock, LOCK_SH), "flock");
  snprintf(text, sizeof text, "%s/bases/%s/base.json", store, base);
  read_file(text, manifest, sizeof manifest);
  member(manifest, "current", record, sizeof record);
  snprintf(text, sizeof text, "%s/bases/%s/versions/%.16s.json", store, base, record);
  read_file(text, manifest, sizeof manifest);
  member(manifest, "path", layer_path, sizeof layer_path);
  int layer = check(open(layer_path, O_PATH | O_DIRECTORY | O_CLOEXEC), layer_path);

  unsigned char random[12];
  check(getrandom(random, sizeof random, 0), "getrandom");
  snprintf(source, sizeof source, "veneer:%012lx", *(unsigned long *)random & 0xffffffffffff);
  snprintf(directory, sizeof directory, "%s/ephemeral/%s", store, source + 7);
  ssize_t length = check(readlink("/proc/self", text, sizeof text - 1), "readlink");
  text[length] = 0;
  long own = start_time(text);
  snprintf(record, sizeof record,
           "{\"key\":\"%.255s\",\"engine\":\"oci\",\"container\":\"%.255s\",\"bundle\":\"%.2000s\",\"ephemeral\":\"%.32s\","
           "\"base\":\"%.128s\",\"version\":1,\"placement\":\"container\",\"target\":\"%.2000s\",\"source\":\"%.32s\","
           "\"preparer\":{\"pid\":%.16s,\"startTime\":%ld},\"process\":{\"pid\":%.16s,\"startTime\":%ld},\"created\":\"%ld\"}\n",
           id, id, bundle, source + 7, base, root, source, text, own, pid, started, time(NULL));
  snprintf(temporary, sizeof temporary, "%s.%02x%02x%02x", path, random[9], random[10], random[11]);
  int file = check(open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), temporary);
  check(write(file, record, strlen(record)), "write");
  close(file);
  check(rename(temporary, path), "rename");

  check(mkdir(directory, 0700), directory);
  int parent = check(open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), directory);
  check(mkdirat(parent, "upper", 0700), "upper");
  check(mkdirat(parent, "work", 0700), "work");
  int upper = check(openat(parent, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "upper");
  mode_t mode;
  opaque(layer, upper, "root");
  opaque(layer, upper, "tmp");
  mount_id(layer, &mode);
  check(fchmodat(parent, "upper", mode & 07777, 0), "fchmodat");
  close(upper);
  close(parent);
  cover(overlay(layer, directory, source), pid, root);
  return 0;
}
