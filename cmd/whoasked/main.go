// Command whoasked finds out which TLS endpoint sent a CertificateRequest: who is
// behind the browser's "Select a certificate".
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"whoasked/capture"
)

// Exit statuses, part of what the program promises.
const (
	exitFine    = 0 // with --exit-code: nobody asked
	exitAsked   = 1 // only with --exit-code
	exitTrouble = 2
	exitUnknown = 3 // only with --exit-code
	exitSignal  = 130
)

func main() { os.Exit(run()) }

func run() int {
	// Little lives long, whatever the size of a capture: collecting more often than
	// usual keeps the peak low for next to no time.
	collectAt(30)
	capture.ForgetNames()
	// The first signal stops the reading, and what is known is still told; then
	// the usual handling is back, so that a second one ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	t := &terminal{err: os.Stderr}
	err := newRoot(t).ExecuteContext(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, syscall.EPIPE):
		return exitFine // who reads our output has seen enough
	}
	t.fail(err)
	return exitTrouble
}

// collectAt sets how much garbage, in percent of what lives, is let lie, unless the
// environment says (GOGC). It reports whether it did.
func collectAt(percent int) bool {
	if os.Getenv("GOGC") != "" {
		return false
	}
	debug.SetGCPercent(percent)
	return true
}

// exitStatus is the outcome of a command that has said all there is to say.
type exitStatus int

func (exitStatus) Error() string { return "done" }

const longHelp = `whoasked finds out which TLS endpoint sent a CertificateRequest, the message
behind the browser's "Select a certificate" dialog, also in TLS 1.3 without keys:
from packet captures, at a network interface, as a relay in the path, or by
asking the endpoints. Where the bytes do not tell, it says so and why.`

func newRoot(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "whoasked",
		Short: "Find out which TLS endpoint asks for a client certificate",
		Long:  longHelp,
		Example: `  whoasked demo
  whoasked read capture.pcapng`,
		Args:              rootArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	var build strings.Builder
	info, _ := debug.ReadBuildInfo()
	must(printVersion(&build, version, info))
	root.Version = build.String()
	root.SetVersionTemplate("{{.Version}}")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRead(t), newWatch(t), newRelay(t), newProbe(t), newTrace(t), newDemo(t), newExplain(), newHops(t), newCA(t), newConfig(t), newVersion(), newMan())
	return root
}
