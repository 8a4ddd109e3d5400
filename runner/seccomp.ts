/**
 * Which system calls a server may make. Everything else fails with EPERM.
 *
 * Docker's own default has to suit databases, debuggers and other people's 32-bit programs; an MCP server reads, writes, talks and computes. So this
 * is a list of its own, shorter than that default, native 64-bit only. docs/runner.md says what was left out and what was considered.
 */
const ALLOWED: Readonly<Record<string, string>> = {
  files: `access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir
    fchmod fchmodat fchmodat2 fcntl fdatasync flock fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 ioctl link linkat
    lseek lstat mkdir mkdirat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename
    renameat renameat2 rmdir sendfile splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink
    unlinkat utime utimensat utimes write writev`,
  // Refused by the kernel where it matters, without capabilities; programs that unpack archives try all the same.
  ownership: 'chown fchown fchownat lchown mknod mknodat',
  attributes: `fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr removexattr
    setxattr`,
  waiting: `epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch pause pipe pipe2 poll ppoll pselect6 select signalfd signalfd4`,
  memory: `brk madvise memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect`,
  processes: `alarm arch_prctl capget execve execveat exit exit_group fork getegid geteuid getgid getgroups getpgid getpgrp getpid getppid
    getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get kill pidfd_open pidfd_send_signal prctl prlimit64
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setpgid
    setpriority setrlimit setsid sigaltstack sysinfo tgkill times tkill uname vfork wait4 waitid`,
  // To oneself, which is all that is left of them; su-like programs and the container's own start make them.
  identity: 'capset setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid',
  threads: `futex futex_waitv futex_wait futex_wake futex_requeue get_robust_list getcpu membarrier restart_syscall rseq sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_tid_address`,
  time: `clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun
    timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime`,
  sockets: `accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto
    setsockopt shutdown socketpair`,
  other: 'getrandom',
  // A server that wants to lock itself in further may.
  sandboxing: 'landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp',
};

/** What Docker's default profile allows to a container without capabilities, and this one doesn't, with the reason. */
export const REMOVED: Readonly<Record<string, string>> = {
  'ptrace process_vm_readv process_vm_writev process_mrelease': 'debugging and reading the memory of other processes',
  'io_uring_setup io_uring_enter io_uring_register':
    'a second kernel interface that filters do not see into, with a long record of holes',
  'io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents': 'asynchronous disk access of databases',
  'msgget msgctl msgsnd msgrcv semget semop semctl semtimedop shmget shmat shmctl shmdt':
    'System V objects, which nothing reached by MCP shares',
  'mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedreceive': 'POSIX message queues, for the same reason',
  'name_to_handle_at fanotify_mark': 'half of what a walk out of the container needs',
  'memfd_secret remap_file_pages vmsplice modify_ldt': 'rare, and each a part of published attacks on the kernel',
  'adjtimex clock_adjtime': "setting the machine's clock",
  ioprio_set: 'getting ahead of other processes at the disk',
  personality: 'emulating other systems, and turning address randomisation off',
  'socket with AF_VSOCK, AF_ALG, AF_PACKET and all but four families':
    'doors to the hypervisor and into rarely read kernel code; Unix, IPv4, IPv6 and routing netlink are left',
  'all 32-bit calls': 'images have only 64-bit programs, and the old entry points are where filters are slipped',
};

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: a thread or child is fine, a namespace of its own isn't. */
const CLONE_NEW = 0x7e020000;
const ENOSYS = 38;

interface Rule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: number;
    readonly op: string;
    readonly valueTwo?: number;
  }[];
}

/** How many calls may be made, and how many families of sockets opened. */
export function seccompNumbers(): { readonly allowed: number; readonly families: number } {
  // Also `socket`, `clone` and, as a refusal that is answered with another, `clone3`.
  return { allowed: Object.values(ALLOWED).flatMap((names) => names.split(/\s+/)).length + 2, families: 4 };
}

/** The profile as Docker's API takes it (runtime-spec, config-linux.md, "Seccomp"). */
export function seccompProfile(): string {
  const socket = (family: number, protocol?: number): Rule => ({
    names: ['socket'],
    action: 'SCMP_ACT_ALLOW',
    args: [
      { index: 0, value: family, op: 'SCMP_CMP_EQ' },
      ...(protocol === undefined ? [] : [{ index: 2, value: protocol, op: 'SCMP_CMP_EQ' }]),
    ],
  });
  const rules: readonly Rule[] = [
    { names: Object.values(ALLOWED).flatMap((names) => names.split(/\s+/)), action: 'SCMP_ACT_ALLOW' },
    socket(AF_UNIX),
    socket(AF_INET),
    socket(AF_INET6),
    socket(AF_NETLINK, NETLINK_ROUTE),
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: CLONE_NEW, op: 'SCMP_CMP_MASKED_EQ' }] },
    // Its flags are behind a pointer, where no filter sees them. "There is no such call" makes the C library use `clone`.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
  ];
  return JSON.stringify({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ],
    syscalls: rules,
  });
}
