package service

import (
	"syscall"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// refused are the system calls that nothing here makes once it runs and that
// would serve somebody who has taken over the process.
var refused = []string{
	"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev",
	"init_module", "finit_module", "delete_module", "kexec_load", "reboot",
	"mount", "umount2", "pivot_root", "chroot", "unshare", "setns",
	"keyctl", "add_key", "request_key", "userfaultfd", "perf_event_open",
	"swapon", "swapoff", "io_uring_setup",
}

// restrictCalls sets a filter on all threads, and no_new_privs with it. Calls by
// the ABI of another architecture pass it; the systemd unit refuses those.
func restrictCalls() error {
	is := func(arg uint32, v uint64) seccomp.Condition {
		return seccomp.Condition{Argument: arg, Operation: seccomp.Equal, Value: v}
	}
	group := seccomp.SyscallGroup{Action: seccomp.ActionErrno, Names: refused}
	deny := func(name string, conditions ...seccomp.Condition) {
		group.NamesWithCondtions = append(group.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: conditions})
	}
	deny("socket", is(0, unix.AF_PACKET))
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		for _, flags := range []uint64{0, unix.SOCK_CLOEXEC, unix.SOCK_NONBLOCK, unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK} {
			deny("socket", is(0, family), is(1, unix.SOCK_RAW|flags))
		}
	}
	deny("bpf", is(0, unix.BPF_PROG_LOAD))
	group.Action = seccomp.ActionErrno | seccomp.Action(syscall.EPERM)
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{group}},
	})
}
