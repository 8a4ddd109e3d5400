/* Makes the system calls that a server has no business making, and prints what the kernel said to each. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, long result) { printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "ok"); }

int main(int count, char **words) {
  char buffer[256] = {0};
  (void)words;
  setvbuf(stdout, 0, _IOLBF, 0);
  /* Where it is allowed, whoever started this would have to let it go on after each signal. */
  if (count == 1) say("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
  say("process_vm_readv", syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0));
  say("io_uring_setup", syscall(425, 8, buffer));
  say("io_setup", syscall(SYS_io_setup, 8, buffer));
  say("shmget", syscall(SYS_shmget, 1, 4096, 01600));
  say("semget", syscall(SYS_semget, 1, 1, 01600));
  say("msgget", syscall(SYS_msgget, 1, 01600));
  say("mq_open", syscall(SYS_mq_open, "x", 0101, 0600, 0));
  say("name_to_handle_at", syscall(SYS_name_to_handle_at, -100, "/", buffer, buffer, 0));
  say("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, buffer, 0));
  say("memfd_secret", syscall(447, 0));
  say("vmsplice", syscall(SYS_vmsplice, 1, 0, 0, 0));
  say("personality", personality(ADDR_NO_RANDOMIZE));
  say("keyctl", syscall(SYS_keyctl, 0, -3, 1));
  say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
  say("bpf", syscall(SYS_bpf, 0, buffer, sizeof buffer));
  say("perf_event_open", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
  say("userfaultfd", syscall(SYS_userfaultfd, 0));
  say("unshare-user", unshare(CLONE_NEWUSER));
  say("unshare-net", unshare(CLONE_NEWNET));
  say("setns", setns(0, 0));
  say("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  say("clone3", syscall(435, buffer, 64));
  say("mount", mount("none", "/tmp", "tmpfs", 0, 0));
  say("umount", umount2("/proc", MNT_DETACH));
  say("fsopen", syscall(430, "tmpfs", 0));
  say("pivot_root", syscall(SYS_pivot_root, ".", "."));
  say("chroot", chroot("/"));
  say("mknod-device", mknod("/tmp/disk", S_IFBLK | 0600, 0xfe00));
  say("setuid-root", setuid(0));
  say("setgid-root", setgid(0));
  say("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
  say("init_module", syscall(SYS_init_module, buffer, sizeof buffer, ""));
  say("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
  say("swapon", syscall(SYS_swapon, "/tmp/x", 0));
  say("sethostname", sethostname("evil", 4));
  say("settimeofday", syscall(SYS_settimeofday, buffer, 0));
  say("syslog", syscall(SYS_syslog, 3, buffer, sizeof buffer));
  say("socket-packet", socket(AF_PACKET, SOCK_RAW, 0));
  say("socket-raw", socket(AF_INET, SOCK_RAW, 1));
  say("socket-vsock", socket(40, SOCK_STREAM, 0));
  say("socket-alg", socket(38, SOCK_SEQPACKET, 0));
  say("socket-netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
#ifdef SYS_modify_ldt
  say("modify_ldt", syscall(SYS_modify_ldt, 0, buffer, sizeof buffer));
  say("iopl", syscall(SYS_iopl, 3));
#endif
  /* What an ordinary server needs must work all the same. */
  say("socket-inet", socket(AF_INET, SOCK_STREAM, 0));
  say("socket-inet6", socket(AF_INET6, SOCK_STREAM, 0));
  say("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
  say("socket-route", socket(AF_NETLINK, SOCK_RAW, 0));
  say("memfd_create", syscall(SYS_memfd_create, "x", 0));
  pid_t child = fork();
  if (child == 0) _exit(0);
  say("fork", child);
  say("wait", waitpid(child, 0, 0));
#if defined(__x86_64__)
  /* The 32-bit entry: another table of calls, and getpid has another number in it. */
  fflush(stdout);
  child = fork();
  if (child == 0) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20));
    _exit(result > 0 ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  errno = EPERM;
  say("int80", WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 0 : -1);
#endif
  return 0;
}
