package main

import (
	"path/filepath"

	"whoasked/config"
	"whoasked/service"
)

// dropPrivileges gives up what is not needed once all is open, which is not worth
// a word where nothing of it took a privilege.
func (r *watchRun) dropPrivileges(silent bool) {
	o := privileges(r.config, r.settingsFile)
	if dir := r.config.Watch.Evidence; dir != "" {
		o.Writes = append(o.Writes, dir)
	}
	drop(&r.config.Service, o, r.terminal, silent)
}

// privileges are those that any command needs on; file holds its settings, if it
// is to be read again.
func privileges(c *config.Config, file string) service.Options {
	o := service.Options{User: c.Service.User, Reads: c.Keylog}
	if name := c.Output; name != "" && name != stdinName {
		o.Writes = append(o.Writes, filepath.Dir(name))
	}
	if file != "" {
		o.Reads = append(o.Reads[:len(o.Reads):len(o.Reads)], file)
	}
	return o
}

// relayPrivileges are those that a relay needs on: names of targets are looked
// up, unless by a server of its own, and the source address is that of clients.
func relayPrivileges(c *config.Config, file string) service.Options {
	o := privileges(c, file)
	o.Names, o.ForeignSources = c.Relay.Resolver == "", c.Relay.KeepSource
	return o
}

func drop(c *config.Service, o service.Options, t *terminal, silent bool) {
	if c.KeepPrivileges {
		return
	}
	out := service.Drop(o)
	if !silent && len(out.Dropped) > 0 {
		t.note(out.String())
	}
	for _, kept := range out.Kept {
		t.note("could not give up: " + kept)
	}
}
