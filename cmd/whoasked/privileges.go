package main

import (
	"path/filepath"

	"whoasked/service"
)

// dropPrivileges gives up what is not needed once the source is open.
func (r *watchRun) dropPrivileges(stdin bool) {
	c := &r.config.Service
	if c.KeepPrivileges {
		return
	}
	o := service.Options{User: c.User, Reads: r.config.Keylog}
	if name := r.config.Output; name != "" && name != stdinName {
		o.Writes = append(o.Writes, filepath.Dir(name))
	}
	if dir := r.config.Watch.Evidence; dir != "" {
		o.Writes = append(o.Writes, dir)
	}
	out := service.Drop(o)
	if !stdin && len(out.Dropped) > 0 {
		r.terminal.note(out.String())
	}
	for _, kept := range out.Kept {
		r.terminal.note("could not give up: " + kept)
	}
}
