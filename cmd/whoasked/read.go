package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/config"
)

const readHelp = `read takes packet captures: pcap and pcapng, plain or compressed with
gzip or zstd. The name - stands for standard input. Several files make one
answer; one that cannot be read does not hide the others.

--sni, --client and --server, each of which may be repeated, choose the
connections that are looked at: counts and dialogs are about those alone. --only
chooses which connections are listed one by one, and changes no count.

Text is written unless --format says otherwise, on a terminal and off it.

--confirm connects, when all is read, to endpoints of which it is only inferred
that they ask, or not known: to each once, by a handshake like those in the
capture, and to no others. That answers for today; where it contradicts what was
inferred, a note says so, and the answer stays.

Exit status:
  0    all was read; with --exit-code: and nobody asked
  1    with --exit-code: all was read, and somebody asked, be it with --confirm
  2    something could not be read or written; what is known was still told
  3    with --exit-code: all was read, nobody is seen to have asked, but for some
       connection it cannot be told, what runs inside of one is hidden, or there
       is no TLS at all
  130  SIGINT or SIGTERM came; what was known until then was told`

func newRead(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "read FILE...",
		Short: "Answer from packet captures",
		Long:  readHelp,
		Example: `  whoasked read client.pcapng
  whoasked read --only asked --server 198.18.0.20:443 edge.pcap gateway.pcap.gz
  tcpdump -i any -s 0 -U -w - tcp port 443 | whoasked read -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return withHint(errors.New("no capture given"), "name one or more files, or - for standard input; whoasked demo shows an answer")
			}
			if i := slices.Index(args, stdinName); i >= 0 && slices.Contains(args[i+1:], stdinName) {
				return errors.New("standard input (-) is named twice")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			inputs := make([]input, len(args))
			for i, name := range args {
				inputs[i] = fileInput(name)
			}
			return answer(cmd.Context(), &loaded.Config, t, inputs)
		},
	}
	addSettings(cmd)
	return cmd
}

// answer takes inputs through the line to the output.
func answer(ctx context.Context, c *config.Config, t *terminal, inputs []input) error {
	l, err := openLine(c, names(inputs))
	if err != nil {
		return err
	}
	defer l.discard()
	hintKeyLog(c, t)
	l.legs = new(attribute.Legs)
	r := &reading{line: l, limits: limits(c), vxlan: c.Decode.VXLANPorts, terminal: t, showProgress: showProgress(c, l.outputs[0]), several: len(inputs) > 1}
	if l.confirm != nil && r.showProgress {
		l.confirm.terminal = t
	}
	for _, in := range inputs {
		if err = r.read(ctx, in); err != nil || ctx.Err() != nil {
			break
		}
	}
	if err == nil && r.opened == 0 && ctx.Err() == nil {
		return exitStatus(exitTrouble) // there is nothing to answer from
	}
	if err := l.complete(ctx, err, r.notes); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		t.note("interrupted: the answer covers what was read until then")
		return exitStatus(exitSignal)
	case r.trouble:
		return exitStatus(exitTrouble)
	case c.ExitCode:
		return verdictStatus(&l.tally)
	}
	return nil
}

// verdictStatus is the exit status that --exit-code asks for.
func verdictStatus(t *tally) error {
	switch {
	case t.asked+t.probed > 0:
		return exitStatus(exitAsked)
	case t.unknown > 0 || t.tunnels > 0 || t.notAsked == 0:
		return exitStatus(exitUnknown)
	}
	return nil
}

// reading is what one run keeps beside the line while it goes through inputs.
type reading struct {
	line         *line
	limits       capture.Limits
	vxlan        []uint16 // ports
	terminal     *terminal
	showProgress bool
	several      bool // inputs, so that notes have to say which

	notes   []capture.Note
	opened  int
	trouble bool // something could not be read
}

// read takes one input through the line. Trouble with the input is reported and
// remembered; the error returned is one of writing.
func (r *reading) read(ctx context.Context, in input) error {
	reader, err := in.open(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.fail(in.name, err)
		}
		return nil
	}
	if err := reader.UseSecrets(r.line.keys.keys.Log()); err != nil {
		r.fail(in.name, err)
	}
	src := file.NewSource(reader, r.limits)
	src.VXLANPorts(r.vxlan)
	r.opened++
	if r.showProgress {
		defer watch(r.terminal, fileBar(in.name, src.Progress))()
	}
	errs := 0
	r.line.batch = 1
	if _, size := src.Progress(); size > 0 {
		r.line.batch = batchLen // nobody waits for a file's first answers
	}
	err = r.line.read(ctx, in.name, src, func(err error) {
		if ctx.Err() != nil {
			return // what breaks off now does so because we stop
		}
		if errs++; errs <= maxErrors {
			r.fail(in.name, err)
		}
	})
	if errs > maxErrors {
		r.terminal.note(fmt.Sprintf("%s: %d more errors", in.name, errs-maxErrors))
	}
	for _, n := range src.Notes() {
		if r.several {
			n.Text = in.name + ": " + n.Text
		}
		r.notes = append(r.notes, n)
	}
	return err
}

// maxErrors is how many errors of one input are reported one by one.
const maxErrors = 5

func (r *reading) fail(name string, err error) {
	r.trouble = true
	err = splitHint(err)
	if !strings.Contains(err.Error(), name) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	r.terminal.fail(err)
}

func names(inputs []input) []string {
	out := make([]string, len(inputs))
	for i, in := range inputs {
		out[i] = in.name
	}
	return out
}

// showProgress says whether a bar on standard error disturbs nobody.
func showProgress(c *config.Config, out *output) bool {
	if c.Quiet || !isTerminal(os.Stderr) {
		return false
	}
	// Lines that appear while the bar is up would be torn apart by it.
	return c.Format == "text" || !isTerminal(out.File)
}
