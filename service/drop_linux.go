package service

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Drop gives up, for all threads and for good: root, capabilities, the right to
// gain others, all files but those named, and system calls that nothing here
// needs. Sockets and files that are open stay so. What cannot be given up is
// told, not a reason to stop.
func Drop(o Options) Outcome {
	var out Outcome
	var keep capability
	if o.ForeignSources {
		keep = foreignSources()
	}
	bounding, keeping := dropBounding(), keepCapabilities(keep)
	if keeping == nil {
		become(&o, &out)
	} else { // as with cgo: another user could not connect from these addresses
		out.kept("still root, as "+keep.name()+" would be lost", keeping)
	}
	others := ""
	if keep != 0 {
		others = " but one"
	}
	switch err := errors.Join(bounding, dropCapabilities(keep)); {
	case err == nil:
		out.dropped("all capabilities" + others)
	case onlyHeld(keep): // no_new_privs makes the bounding set meaningless
		out.dropped("all capabilities it had" + others)
	default:
		out.kept("capabilities", err)
	}
	if keep != 0 && onlyHeld(keep) {
		out.Needed = append(out.Needed, keep.name()+", to connect from addresses of clients")
	}
	restrictFiles(&o, &out)
	if err := restrictCalls(); err != nil {
		out.kept("system calls are not restricted", err)
	} else {
		out.dropped("raw and packet sockets, starting programs (seccomp)")
	}
	return out
}

// become takes on an unprivileged user, if that one can write where it has to.
func become(o *Options, out *Outcome) {
	if os.Geteuid() != 0 {
		return
	}
	uid, gid, err := lookUp(o.User)
	if err != nil {
		out.kept("still root", err)
		return
	}
	for _, dir := range o.Writes {
		if !permits(dir, uid, gid, 3) {
			out.kept(fmt.Sprintf("still root, as %s cannot write in %s, which belongs to somebody else", o.User, dir), nil)
			return
		}
	}
	for _, name := range o.Reads {
		if _, err := os.Stat(name); err == nil && !permits(name, uid, gid, 4) {
			out.kept(fmt.Sprintf("%s cannot read %s, which will not be read again", o.User, name), nil)
		}
	}
	err = syscall.Setgroups(nil)
	if err == nil {
		err = syscall.Setresgid(gid, gid, gid)
	}
	if err == nil {
		err = syscall.Setresuid(uid, uid, uid)
	}
	if err != nil {
		out.kept("still root", err)
		return
	}
	out.dropped("root for " + o.User)
}

func lookUp(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, 0, fmt.Errorf("there is no user %s", name)
		}
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && uid == 0 {
		err = fmt.Errorf("user %s is root too", name)
	}
	return uid, gid, err
}

// Own makes a folder, if it is not there, that belongs to the user to become.
// What is there stays with its owner.
func Own(dir, name string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil || os.Geteuid() != 0 {
		return err
	}
	uid, gid, err := lookUp(name)
	if err != nil {
		return nil // told when privileges are given up
	}
	return os.Chown(dir, uid, gid)
}

// OwnFile gives a file to the user to become, if the folder is that user's too.
func OwnFile(file, name string) {
	uid, gid, err := lookUp(name)
	if err == nil && os.Geteuid() == 0 && permits(filepath.Dir(file), uid, gid, 3) {
		_ = os.Lchown(file, uid, gid) // told by the next attempt to write
	}
}

// permits reports whether the mode bits (4 read, 2 write, 1 search) of name let a
// user in without other groups, and those of all folders above let it through.
func permits(name string, uid, gid int, want uint32) bool {
	name, err := filepath.Abs(name)
	if err == nil {
		name, err = filepath.EvalSymlinks(name)
	}
	for ; err == nil; want = 1 {
		var st unix.Stat_t
		if err = unix.Stat(name, &st); err != nil {
			break
		}
		mode := uint32(st.Mode)
		switch {
		case int(st.Uid) == uid:
			mode >>= 6
		case int(st.Gid) == gid:
			mode >>= 3
		}
		if mode&want != want {
			return false
		}
		if name == "/" {
			return true
		}
		name = filepath.Dir(name)
	}
	return false
}

// restrictFiles has the kernel open nothing but what is named (Landlock).
func restrictFiles(o *Options, out *Outcome) {
	abi, _, e := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		out.kept("files are not restricted, as the kernel has no Landlock", e)
		return
	}
	// The clock's zone is looked up when a time is first written.
	rules := []landlock.Rule{
		landlock.RODirs("/usr/share/zoneinfo").IgnoreIfMissing(), landlock.ROFiles("/etc/localtime", os.DevNull).IgnoreIfMissing(),
	}
	if o.Names { // the folders, as the files are replaced
		rules = append(rules, landlock.RODirs("/etc").IgnoreIfMissing())
		if name, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
			rules = append(rules, landlock.RODirs(filepath.Dir(name)).IgnoreIfMissing())
		}
	}
	for _, dir := range o.Writes {
		rules = append(rules, landlock.RWDirs(dir).IgnoreIfMissing())
	}
	for _, name := range o.Reads {
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			name = filepath.Dir(name) // it may be replaced
		}
		rules = append(rules, landlock.RODirs(name).IgnoreIfMissing())
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		out.kept("files are not restricted", err)
		return
	}
	out.dropped(fmt.Sprintf("all files but its own (Landlock %d)", abi))
}
