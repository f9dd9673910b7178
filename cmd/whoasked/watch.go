package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/capture/live"
	"whoasked/config"
	"whoasked/parse"
	"whoasked/report"
	"whoasked/service"
	"whoasked/service/metrics"
)

const watchHelp = `watch captures at network interfaces, on Linux, and tells who asks for client
certificates while it happens. It is made to run for weeks: it remembers little,
and leaves bulk data to the kernel.

A connection is told as soon as its handshake is decided, and again if that
changes; a certificate dialog when it is found to be open, and when it is closed.
The name - in place of interfaces stands for a capture that comes on standard
input while it is made.

--host, --net, --port and --not choose what is captured, in the kernel; --sni,
--client and --server what is told of it.

--confirm connects to endpoints of which the traffic tells too little, to each
once and one a second, to ask them.

SIGUSR1 has the counts so far written, SIGINT and SIGTERM end the run with them.
SIGHUP has hops and filters read again, and the output file opened anew.`

func newWatch(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [-]",
		Short: "Answer from a network interface, for as long as it runs",
		Long:  watchHelp,
		Example: `  sudo whoasked watch -i eth0 --port 443
  sudo whoasked watch -i eth0 -i eth1 --output /var/log/whoasked.log
  ssh gateway sudo tcpdump -i any -s 0 -U -w - tcp | whoasked watch -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != stdinName {
				return withHint(fmt.Errorf("whoasked watch takes no arguments but -, got %q", args), "name interfaces with -i; to answer from files: whoasked read FILE...")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			if !loaded.Given("format") {
				loaded.Format = "log"
			}
			// What lives is small, so that little garbage would lie anyway.
			collectAt(100)
			service.LateTimers(timerSlack)
			run := newRun(cmd, loaded, t)
			return run.run(cmd.Context(), len(args) == 1)
		},
	}
	addSettings(cmd, "watch", "service")
	lasting(cmd)
	return cmd
}

// timerSlack is how late a timer may be. Packets are waited for without one, up to
// the retiring of blocks, which the kernel does by its own clock.
const timerSlack = 2 * time.Millisecond

// watchRun is one run of watch.
type watchRun struct {
	config   *config.Config
	terminal *terminal
	watching *watching
	log      *collapsed      // nil in other formats
	flush    func() error    // likewise
	batched  *batched        // nil unless the source tells when to flush it
	file     *rotated        // nil for standard output
	metrics  *metrics.Server // nil for none
	notes    func() []capture.Note
	viaName  func(uint32) string
	// load reads the settings again; reconfigure, nil for nothing, has the source
	// take them, or says what is wrong with them. settings are those of the start.
	load         func() (*config.Loaded, error)
	reconfigure  func(*config.Config) error
	settings     []config.Setting
	settingsFile string       // empty for none
	ticked       atomic.Int64 // when the clock was last looked at
	// counted adds what only the source counts.
	counted func(*snapshot)
}

func newRun(cmd *cobra.Command, loaded *config.Loaded, t *terminal) *watchRun {
	return &watchRun{
		config: &loaded.Config, terminal: t, settings: loaded.Settings, settingsFile: loaded.File,
		load: func() (*config.Loaded, error) { return config.Load(cmd.Flags()) },
	}
}

func (r *watchRun) run(ctx context.Context, stdin bool) error {
	name := stdinName
	if !stdin {
		name = interfacesName(r.config.Watch.Interfaces)
		r.batched = &batched{}
	}
	closeOut, err := r.open(name)
	if err != nil {
		return err
	}
	defer closeOut()
	if err := r.openEvidence(); err != nil {
		return err
	}
	src, err := r.source(ctx, stdin)
	if err != nil {
		return err
	}
	if err := r.listenMetrics(); err != nil {
		return err
	}
	defer r.closeMetrics()
	r.dropPrivileges(stdin)
	if err := r.serveMetrics(); err != nil {
		return err
	}
	service.Ready()
	stop := r.background()
	failed := false
	err = r.watching.read(ctx, src, func(err error) {
		if ctx.Err() == nil {
			failed = true
			r.terminal.fail(splitHint(err))
		}
	})
	stop()
	service.Stopping()
	r.watching.confirm.stop()
	r.closeEvidence()
	if err == nil {
		if r.log != nil {
			err = r.log.due(true)
		}
		err = errors.Join(err, r.watching.finish(r.allNotes()))
	}
	switch {
	case err != nil:
		return fmt.Errorf("cannot write the answer: %w", err)
	case failed:
		return exitStatus(exitTrouble)
	case r.config.ExitCode:
		return verdictStatus(&r.watching.tally)
	}
	return nil
}

// open sets up the line for a source called name; done closes its output.
func (r *watchRun) open(name string) (done func(), err error) {
	out, done, err := r.output()
	if err != nil {
		return nil, err
	}
	w, err := r.writer(out)
	if err != nil {
		done()
		return nil, err
	}
	keys, err := openKeyLogs(r.config)
	if err != nil {
		done()
		return nil, err
	}
	keys.last()
	hintKeyLog(r.config, r.terminal)
	r.watching = newWatching(name, parse.NewParser(parse.Options{Fingerprints: r.config.Format == "json", Keys: keys.keys}), w)
	r.watching.keys, r.watching.flushed, r.watching.batched = keys, r.flush, r.batched
	r.watching.hops, r.watching.keep = r.config.Hops, newFilter(r.config)
	r.watching.confirm = newConfirmer(r.config).live(r.watching.confirmed)
	return done, nil
}

// source opens what is watched.
func (r *watchRun) source(ctx context.Context, stdin bool) (capture.Source, error) {
	if stdin {
		reader, err := openStdin(ctx)
		if err != nil {
			return nil, splitHint(err)
		}
		src := file.NewSource(reader, limits(r.config))
		src.Share() // with whoever asks for a summary
		r.notes, r.viaName = src.Notes, src.ViaName
		if k := r.watching.files; k != nil {
			src.Tap(func(p *file.Packet, seg *capture.Segment) { k.Packet(p.Time, p.Link, p.WireLen, p.Data, seg) })
		}
		return src, nil
	}
	src, err := live.Open(r.liveOptions())
	if err != nil {
		if errors.Is(err, syscall.EPERM) {
			return nil, withHint(err, "capturing takes a privilege: sudo whoasked watch, or once: sudo setcap cap_net_raw,cap_bpf+ep $(command -v whoasked)")
		}
		return nil, err
	}
	r.notes, r.viaName = src.Notes, src.ViaName
	r.watching.skip, r.watching.follow = src.Skip, src.Follow
	r.watching.drops = func() int64 { return src.Stats().Dropped }
	r.counted = func(s *snapshot) {
		n := src.Stats()
		s.live = &n
	}
	return src, nil
}

func (r *watchRun) liveOptions() live.Options {
	c := &r.config.Watch
	o := live.Options{
		Interfaces: c.Interfaces, Promiscuous: c.Promiscuous,
		Ring: int(c.Ring), SnapLength: int(c.SnapLength), PlainFilter: c.PlainFilter,
		Narrow: narrow(c), Limits: limits(r.config),
		Log:   func(_, text string) { r.terminal.note(text) },
		Pause: r.watching.pause,
	}
	if k := r.watching.files; k != nil {
		o.Tap = func(p *live.Packet, seg *capture.Segment) { k.Packet(p.Time, p.Link, p.WireLen, p.Data, seg) }
		o.LeftOut = k.LeftOut
	}
	if len(o.Interfaces) == 0 {
		o.Interfaces = []string{live.Any}
	}
	return o
}

func narrow(c *config.Watch) capture.Narrow {
	n := capture.Narrow{Nets: append(c.Hosts[:len(c.Hosts):len(c.Hosts)], c.Nets...), Ports: c.Ports}
	for _, not := range c.Not {
		n.Not = append(n.Not, capture.End{Net: not.Prefix, Port: not.Port})
	}
	return n
}

func interfacesName(names []string) string {
	switch len(names) {
	case 0:
		return live.Any
	case 1:
		return names[0]
	}
	return fmt.Sprint(names)
}

// tickEvery is how often the clock is looked at.
const tickEvery = 500 * time.Millisecond

// background keeps the clock and answers signals until the function it returns
// is called.
func (r *watchRun) background() (stop func()) {
	asked, anew := make(chan os.Signal, 1), make(chan os.Signal, 1)
	notifyOf(asked, summarySignals)
	if !isTerminal(os.Stderr) { // whose end it is else
		notifyOf(anew, reloadSignals)
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		watchdog := service.NewWatchdog()
		tick := time.NewTicker(tickEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-asked:
				r.watching.summary(r.allNotes())
			case <-anew:
				r.reload()
			case <-tick.C:
				r.watching.tick()
				r.ticked.Store(time.Now().UnixNano())
				watchdog.Alive()
				if r.log != nil {
					r.repeats()
				}
			}
		}
	}()
	return func() {
		signal.Stop(asked)
		signal.Stop(anew)
		close(done)
		<-gone
	}
}

// notifyOf is signal.Notify, but of no signals where there are none.
func notifyOf(c chan<- os.Signal, signals []os.Signal) {
	if len(signals) > 0 {
		signal.Notify(c, signals...)
	}
}

func (r *watchRun) repeats() {
	r.watching.mu.Lock()
	defer r.watching.mu.Unlock()
	r.watching.write(r.log.due(false))
	r.watching.send()
}

// output opens where answers go: standard output, or a file that is begun anew
// from time to time.
func (r *watchRun) output() (out io.Writer, done func(), err error) {
	if name := r.config.Output; name == "" || name == stdinName {
		return os.Stdout, func() {}, nil
	}
	if r.file, err = openRotated(r.config.Output, &r.config.Service); err != nil {
		return nil, nil, err
	}
	return r.file, r.file.close, nil
}

// writer makes the report.
func (r *watchRun) writer(out io.Writer) (report.Writer, error) {
	c := r.config
	f, isFile := out.(*os.File)
	if r.batched != nil {
		r.batched.to, out = out, r.batched
	}
	switch c.Format {
	case "json":
		j := report.NewJSON(out)
		r.flush = j.Flush
		return listed{j, lists(c.Only)}, nil
	case "log":
		level, err := zerolog.ParseLevel(c.Log.Level)
		if err != nil {
			return nil, err
		}
		o := report.LogOptions{Level: level}
		if isFile {
			o.Console, o.Color = isTerminal(f), !c.NoColor && colors(f)
		}
		log := report.NewLog(out, o)
		if c.Watch.Collapse == 0 {
			return listed{log, lists(c.Only)}, nil
		}
		r.log = newCollapsed(log, c.Watch.Collapse)
		return listed{r.log, lists(c.Only)}, nil
	}
	return nil, withHint(errors.New("watch writes no "+c.Format+", which needs the end to begin with"), "use --format log or json")
}
