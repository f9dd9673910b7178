package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is a process group: a program and what it has started.
type group int

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func (g group) signal(s syscall.Signal) { _ = syscall.Kill(-int(g), s) }

// withSlack calls start, which starts a program, so that the kernel may be late by
// so much with its timers (TimerSlackNSec= of systemd); 0 for what is usual.
func withSlack(slack time.Duration, start func() error) error {
	if slack == 0 {
		return start()
	}
	runtime.LockOSThread() // which the program has it from
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }() // as before
	return start()
}

// usage is what a group has used, and holds.
type usage struct {
	cpu         time.Duration // user and system
	rss         int64         // bytes
	descriptors int
}

// usage asks the kernel.
func (g group) usage() (u usage, err error) {
	pids, err := g.pids()
	if err != nil {
		return u, err
	}
	for _, pid := range pids {
		dir := "/proc/" + pid
		tasks, err := filepath.Glob(dir + "/task/*/schedstat")
		if err != nil {
			return u, err
		}
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue // a thread that has ended
			}
			var ns int64
			if _, err := fmt.Sscan(string(b), &ns); err != nil {
				return u, fmt.Errorf("%s: %w", t, err)
			}
			u.cpu += time.Duration(ns)
		}
		b, err := os.ReadFile(dir + "/statm")
		if err != nil {
			return u, err
		}
		var size, resident int64
		if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
			return u, err
		}
		u.rss += resident * int64(os.Getpagesize())
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			return u, err
		}
		u.descriptors += len(fds)
	}
	return u, nil
}

// pids lists the processes of the group.
func (g group) pids() (pids []string, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent group …; the name may hold anything
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 2 && f[2] == strconv.Itoa(int(g)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("process group %d has ended", int(g))
	}
	return pids, nil
}

// raiseLimit lets this process, and what it starts, open many files.
func raiseLimit(n uint64) error {
	l := syscall.Rlimit{Cur: n, Max: n}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return err
	}
	if now.Cur >= n {
		return nil
	}
	if now.Max >= n {
		l.Max = now.Max
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("%d open files: %w", n, err)
	}
	return nil
}
