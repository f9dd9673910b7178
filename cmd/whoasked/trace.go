package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whoasked/attribute"
	"whoasked/capture/probe"
	"whoasked/capture/trace"
	"whoasked/config"
)

const traceHelp = `trace sends what opens a connection to an endpoint with a rising TTL (IPv6: hop
limit), and tells where TCP is first ended, where TLS is first answered, and how
far the address itself is: so a device shows that takes connections aside on
their way. Then it probes the endpoint, and tells whether who ended TCP there
asks for a client certificate.

It needs no rights. With CAP_NET_RAW it also tells which router discarded a
ClientHello. The ClientHello is one that any client sends.

What stands behind the device that ends TCP cannot be seen: probe from behind
it, or capture there.

Exit status:
  0    all was traced; with --exit-code: and nobody asked
  1    with --exit-code: somebody asked
  2    a target is not understood, its name was not found, or tracing is not
       possible here
  3    with --exit-code: nobody asked, but for some endpoint it cannot be told
  130  SIGINT or SIGTERM came; what was known until then was told`

// traceFlags are the flags of trace beside the settings and those of probe that
// it shares.
type traceFlags struct {
	probeFlags
	maxHops int
	wait    time.Duration
}

func newTrace(t *terminal) *cobra.Command {
	f := traceFlags{probeFlags: probeFlags{versions: []string{"1.2", "1.3"}, alpn: []string{"http/1.1"}, repeat: 1, parallel: perAddress}}
	cmd := &cobra.Command{
		Use:   "trace TARGET...",
		Short: "Find where connections to an endpoint end",
		Long:  traceHelp,
		Example: `  whoasked trace https://portal.contoso.test/
  whoasked trace --as chrome --name portal.contoso.test 198.18.0.20:443`,
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			if err := noFilters(loaded, "trace"); err != nil {
				return err
			}
			if f.maxHops < 1 || f.maxHops > 255 || f.wait <= 0 || f.wait > time.Minute {
				return errors.New("--max-hops takes a number from 1 to 255, --wait a time up to 1m")
			}
			f.rowsSet = cmd.Flags().Changed("rows")
			return runTrace(cmd.Context(), &loaded.Config, t, &f, args)
		},
	}
	addSettings(cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&f.addresses, "address", nil, "trace to `ADDRESS` instead of what the name resolves to")
	fs.StringVar(&f.resolver, "resolver", "", "ask the name server at `ADDRESS[:PORT]`")
	fs.StringArrayVar(&f.names, "name", nil, "send `NAME` as SNI instead of the target's; empty for none")
	fs.StringVar(&f.as, "as", "go", "send the ClientHello of `CLIENT`: "+strings.Join(probe.HelloNames(), ", "))
	fs.IntVar(&f.maxHops, "max-hops", 30, "send with a TTL up to `N`")
	fs.DurationVar(&f.wait, "wait", time.Second, "wait `TIME` for one reply, and twice that for one to a ClientHello")
	fs.DurationVar(&f.timeout, "timeout", 10*time.Second, "when probing, give each step of a connection at most `TIME`")
	must(cmd.RegisterFlagCompletionFunc("as", cobra.FixedCompletions(probe.HelloNames(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func runTrace(ctx context.Context, c *config.Config, t *terminal, f *traceFlags, args []string) error {
	return runProbing(ctx, c, t, &f.probeFlags, args, func(p *probing) func(context.Context, []probe.Target) error {
		return (&tracing{p, f}).run
	})
}

// tracing is one run of the trace command.
type tracing struct {
	*probing
	flags *traceFlags
}

// run traces all targets and reports in their order.
func (tr *tracing) run(ctx context.Context, targets []probe.Target) error {
	for _, t := range targets {
		plan, err := tr.plan(ctx, t)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			tr.trouble = true
			tr.terminal.fail(err)
			continue
		}
		for _, part := range endpoints(plan) {
			if ctx.Err() != nil {
				return nil
			}
			if err := tr.endpoint(ctx, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// endpoints cuts a plan where another endpoint, or another name, begins.
func endpoints(plan []probe.Probe) [][]probe.Probe {
	var out [][]probe.Probe
	for i := range plan {
		if i == 0 || plan[i].Addr != plan[i-1].Addr || plan[i].ServerName != plan[i-1].ServerName {
			out = append(out, nil)
		}
		last := len(out) - 1
		out[last] = append(out[last], plan[i])
	}
	return out
}

// endpoint traces one endpoint, and then probes it.
func (tr *tracing) endpoint(ctx context.Context, plan []probe.Probe) error {
	first := plan[len(plan)-1] // the newest version
	out := &attribute.Trace{
		Server: first.Addr, Hop: tr.hops.Name(first.Addr, first.ServerName, nil),
		Target: first.Target.String(), SNI: first.ServerName,
		RawICMP: trace.RawICMP(first.Addr.Addr().Is6()),
	}
	t := trace.Tracer{
		MaxTTL: tr.flags.maxHops, Wait: tr.flags.wait,
		Hello: func() ([]byte, error) { return tr.prober.ClientHello(first) },
	}
	if first.Target.Preamble != "" {
		t.Before = func(c net.Conn) error { return probe.Speak(c, first.Target) }
	}
	if err := t.Run(ctx, first.Addr, func(r trace.Reply) { out.Add(traceReply(&r)) }); err != nil {
		tr.trouble = true
		tr.terminal.fail(err)
		return nil
	}
	out.Interrupted = ctx.Err() != nil
	attempts := tr.probe(ctx, plan)
	askedOf(out, attempts)
	from := tr.line.ids
	if err := tr.report(ctx, attempts); err != nil {
		return err
	}
	for id := from + 1; id <= tr.line.ids; id++ {
		out.Connections = append(out.Connections, id)
	}
	return tr.line.out.Trace(out)
}

// askedOf sums up whether the endpoint asked.
func askedOf(t *attribute.Trace, attempts []*probe.Attempt) {
	asked, not := 0, 0
	for _, a := range attempts {
		switch {
		case a == nil || errors.Is(a.Err, context.Canceled):
			t.Reason = "interrupted"
		case !answered(a):
			t.Reason = failure(a)
		default:
			switch v := attribute.Judge(a.Handshake); v.Asked {
			case attribute.Yes:
				asked++
			case attribute.No:
				not++
			default:
				t.Reason = v.Reason
			}
		}
	}
	switch {
	case asked > 0 && not == 0:
		t.Asked, t.Reason = attribute.Yes, ""
	case not > 0 && asked == 0:
		t.Asked, t.Reason = attribute.No, ""
	case asked > 0:
		t.Reason = fmt.Sprintf("it was in %d of %d handshakes", asked, asked+not)
	}
}

// traceReply carries a reply over.
func traceReply(r *trace.Reply) *attribute.TraceReply {
	out := &attribute.TraceReply{TTL: r.TTL, From: r.From, RTT: r.RTT, Resent: r.Resent}
	out.Kind = [...]attribute.TraceKind{
		trace.SYN: attribute.TraceSYN, trace.Hello: attribute.TraceHello, trace.Address: attribute.TraceAddress,
	}[r.Kind]
	out.Outcome = [...]attribute.TraceOutcome{
		trace.Silent: attribute.TraceSilent, trace.Expired: attribute.TraceExpired, trace.Discarded: attribute.TraceDiscarded,
		trace.Answered: attribute.TraceAnswered, trace.Refused: attribute.TraceRefused, trace.Unreachable: attribute.TraceUnreachable, trace.Failed: attribute.TraceFailed,
	}[r.Outcome]
	if r.Err != nil {
		out.Failure = r.Err.Error()
	}
	if r.Kind == trace.Hello {
		out.Said = saidTo(r)
	}
	return out
}

// saidTo names what a ClientHello was answered by.
func saidTo(r *trace.Reply) string {
	switch {
	case r.Outcome == trace.Refused:
		return "the end of the connection"
	case r.Outcome != trace.Answered:
		return ""
	case r.Data[0] == 21: // RFC 8446 §5.1
		return "an alert"
	case r.Data[0] == 22 && len(r.Data) > 5 && r.Data[5] == 2: // §4
		return "ServerHello"
	case r.Data[0] == 22:
		return "a handshake record"
	}
	return "no TLS"
}
