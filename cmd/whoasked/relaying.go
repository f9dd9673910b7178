package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"whoasked/capture/relay"
	"whoasked/config"
	"whoasked/service"
)

// openRelay opens the sockets. Where TLS is ended, its secrets go to keys.
func openRelay(ctx context.Context, c *config.Config, t *terminal, keys func(line []byte)) (*relay.Relay, error) {
	if err := checkRelay(&c.Relay); err != nil {
		return nil, err
	}
	inspected, err := inspectTLS(&c.Relay, keys, t)
	if err != nil {
		return nil, err
	}
	entries, err := relayEntries(ctx, &c.Relay)
	if err != nil {
		return nil, err
	}
	o := relayOptions(&c.Relay, entries)
	if err := throughProxies(&c.Relay, &o); err != nil {
		return nil, err
	}
	o.WholeRecords, o.Inspect = len(c.Keylog) > 0, inspected
	r := relay.New(o)
	for i := range entries {
		t.note(fmt.Sprintf("listening at %s (%s)", entries[i].Listener.Addr(), entries[i].Way.Name))
	}
	return r, nil
}

// relayText makes a report at the end, with the keys that were read at the
// beginning. What went wrong is in its counts.
func relayText(ctx context.Context, c *config.Config, t *terminal) error {
	if c.Service.Metrics != "" {
		return withHint(errors.New("no metrics with a report that is made at the end"), "use --format log or json")
	}
	l, err := openLine(c, nil)
	if err != nil {
		return err
	}
	defer l.discard()
	hintKeyLog(c, t)
	l.confirm.through(&c.Relay)
	logs, out := l.keys, l.outputs[0]
	log := logs.keys.Log()
	logs.keys.Growing = len(c.Relay.Inspect) > 0
	r, err := openRelay(ctx, c, t, func(line []byte) { _, _ = log.Write(line) })
	if err != nil {
		return err
	}
	needs := relayPrivileges(c, "")
	if out.target != "" {
		needs.Writes = []string{filepath.Dir(out.target)}
		service.OwnFile(out.Name(), c.Service.User)
	}
	drop(&c.Service, needs, t, false)
	err = l.read(ctx, "relay", r, func(err error) {
		if trouble := (*relay.Trouble)(nil); !errors.As(err, &trouble) {
			t.fail(err)
		}
	})
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmLast)
	defer cancel()
	if err := l.complete(asking, err, r.Notes()); err != nil {
		return err
	}
	return relayEnd(c, nil, &l.tally)
}

// relay takes what passes to a report that tells answers when they are decided.
func (r *watchRun) relay(ctx context.Context) error {
	c := r.config
	c.Watch.Collapse = 0 // each connection is told
	closeOut, err := r.open("relay")
	if err != nil {
		return err
	}
	defer closeOut()
	w, logs := r.watching, r.watching.keys
	w.confirm.through(&c.Relay)
	logs.keys.Growing = logs.keys.Growing || len(c.Relay.Inspect) > 0 // secrets of an authority of ours are written, too
	if err := r.listenMetrics(); err != nil {
		return err
	}
	defer r.closeMetrics()
	log := logs.keys.Log()
	src, err := openRelay(ctx, c, r.terminal, func(line []byte) {
		w.mu.Lock() // the clock reads key logs
		defer w.mu.Unlock()
		_, _ = log.Write(line)
	})
	if err != nil {
		return err
	}
	r.notes = src.Notes
	r.reconfigure = func(now *config.Config) error {
		next := c.Relay // the sockets stay
		next.Allow, next.Targets = now.Relay.Allow, now.Relay.Targets
		if err := checkRelay(&next); err != nil {
			return err
		}
		src.Allow(relayAccess(&next))
		return nil
	}
	r.counted = func(s *snapshot) {
		n := src.Stats()
		s.relay = &n
	}
	w.skip, w.headers = src.Skip, src.Headers
	drop(&c.Service, relayPrivileges(c, r.settingsFile), r.terminal, false)
	if err := r.serveMetrics(); err != nil {
		return err
	}
	service.Ready()
	stop := r.background()
	err = w.read(ctx, src, func(err error) {
		var trouble *relay.Trouble
		if !errors.As(err, &trouble) {
			r.terminal.fail(err)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.write(w.out.Note(trouble.Note()))
		w.flush()
	})
	stop()
	service.Stopping()
	w.confirm.stop()
	if err == nil {
		err = w.finish(src.Notes())
	}
	return relayEnd(c, err, &w.tally)
}

// relayEnd is the outcome of a run that has ended with err.
func relayEnd(c *config.Config, err error, sums *tally) error {
	switch {
	case err != nil:
		return fmt.Errorf("cannot write the answer: %w", err)
	case c.ExitCode:
		return verdictStatus(sums)
	}
	return nil
}
