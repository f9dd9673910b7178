package main

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"whoasked/config"
	"whoasked/service"
)

// reloadable are the settings that take effect when they are read again; those
// of relay for connections to come.
var reloadable = []string{"hops", "sni", "client", "server", "relay.allow", "relay.targets"}

// reload reads the settings again and begins anew with the file that answers go
// to. What cannot be had is told, and as it was before.
func (r *watchRun) reload() {
	service.Reloading()
	defer service.Ready()
	if r.file != nil {
		r.watching.pause() // what was told until now is of the old file
		if err := r.file.open(); err != nil {
			r.terminal.fail(fmt.Errorf("the output is not begun anew: %w", err))
		}
	}
	loaded, err := r.load()
	if err != nil && r.settingsFile == "" && notPermitted(err) {
		// There was no file at the start, and without privileges it cannot be seen
		// whether there is one by now.
		r.terminal.note("there is no settings file to be read again")
		return
	}
	if err == nil && r.reconfigure != nil {
		err = r.reconfigure(&loaded.Config)
	}
	if err != nil {
		r.refuse(err)
		return
	}
	for _, w := range loaded.Warnings {
		r.terminal.warn(w)
	}
	w := r.watching
	w.mu.Lock()
	w.hops, w.keep = loaded.Hops, newFilter(&loaded.Config)
	w.mu.Unlock()
	from := "the settings were read again"
	if loaded.File != "" {
		from += " from " + loaded.File
	}
	r.terminal.note(from)
	if late := takeRestart(r.settings, loaded.Settings); len(late) > 0 {
		r.terminal.warn("changed, but only a restart makes a difference: " + strings.Join(late, ", "))
	}
}

// refuse says that the settings stay, and why; missing privileges may be a reason.
func (r *watchRun) refuse(err error) {
	r.terminal.fail(errors.New("the settings stay as they are, because they cannot be read again"))
	if notPermitted(err) {
		err = withHint(err, "privileges were given up at the start: let the user that it became read the file, or restart")
	}
	r.terminal.fail(err)
}

// notPermitted is about errors of config, which tells them as text.
func notPermitted(err error) bool { return strings.Contains(err.Error(), fs.ErrPermission.Error()) }

// takeRestart lists the settings that differ and are not reloadable.
func takeRestart(before, now []config.Setting) []string {
	var keys []string
	for i := range before {
		if !slices.Contains(reloadable, before[i].Key) && !reflect.DeepEqual(before[i].Value, now[i].Value) {
			keys = append(keys, before[i].Key)
		}
	}
	return keys
}
