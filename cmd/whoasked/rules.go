package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whoasked/config"
)

const rulesHelp = `rules makes the packet filter of this machine, a router on the clients' way, lead
connections to the relay: those to --ports that come in by --interface. It
takes the --listen whose --to is redirect or tproxy.

--print shows what --apply does: a table of its own in nftables and, for tproxy, a
routing rule and table. --apply replaces what an earlier one made. --remove takes
all of it away and touches nothing else; run it when the relay is stopped, as
until then connections to these ports end here.`

// Marks of what rules makes, by which it finds it again.
const (
	rulesTable = "whoasked_relay"
	rulesMark  = "0x7741"
	rulesRoute = "7741"
)

func newRules(t *terminal) *cobra.Command {
	var show, apply, remove bool
	cmd := &cobra.Command{
		Use:   "rules --print|--apply|--remove",
		Short: "Lead connections to the relay by the packet filter",
		Long:  rulesHelp,
		Example: `  whoasked relay rules --listen 0.0.0.0:8443 --to redirect --ports 443 --print
  whoasked relay rules --remove`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			switch {
			case runtime.GOOS != "linux" && !show:
				return errors.New("rules need nftables, which is part of Linux")
			case remove:
				return removeRules()
			}
			r, err := newRuleset(&loaded.Relay, os.Getenv("SSH_CONNECTION"))
			if err != nil {
				return err
			}
			if show {
				_, err := fmt.Fprint(cmd.OutOrStdout(), r.script())
				return err
			}
			return r.apply()
		},
	}
	addSettings(cmd, "relay")
	f := cmd.Flags()
	f.BoolVar(&show, "print", false, "show the rules as a shell script")
	f.BoolVar(&apply, "apply", false, "put them in place")
	f.BoolVar(&remove, "remove", false, "take them away")
	cmd.MarkFlagsMutuallyExclusive("print", "apply", "remove")
	cmd.MarkFlagsOneRequired("print", "apply", "remove")
	return cmd
}

// ruleset is what leads connections to the sockets of the relay.
type ruleset struct {
	nft    string
	routes [][]string // arguments of ip
}

// newRuleset makes rules for the sockets that need them. ssh is the variable
// SSH_CONNECTION: client, its port, server, its port.
func newRuleset(c *config.Relay, ssh string) (*ruleset, error) {
	if n := len(c.To); n != 1 && n != len(c.Listen) {
		return nil, withHint(fmt.Errorf("%d --listen but %d --to", len(c.Listen), n), "give --to once for all, or one for each --listen")
	}
	var nat, mangle []string
	for i, address := range c.Listen {
		way, _ := config.Way(destinationOf(c, i))
		if way != "redirect" && way != "tproxy" {
			continue
		}
		listen := netip.MustParseAddrPort(address)
		if err := checkPorts(c.Ports, listen.Port(), ssh); err != nil {
			return nil, err
		}
		if listen.Addr().IsLoopback() {
			return nil, withHint(fmt.Errorf("connections that come in cannot be led to %s", address), "listen at 0.0.0.0 or [::], with --allow and --targets")
		}
		if way == "redirect" {
			nat = append(nat, fmt.Sprintf("%s redirect to :%d", match(c, listen), listen.Port()))
		} else {
			mangle = append(mangle, fmt.Sprintf("%s tproxy %s to :%d meta mark set %s accept", match(c, listen), family(listen), listen.Port(), rulesMark))
		}
	}
	if len(nat)+len(mangle) == 0 {
		return nil, withHint(errors.New("no --listen needs rules"), "rules are for --to redirect and --to tproxy")
	}
	return buildRuleset(nat, mangle), nil
}

// match is what a packet has to be: of the socket's IP version, unless that takes
// both, and to one of the ports.
func match(c *config.Relay, listen netip.AddrPort) string {
	var b strings.Builder
	if c.Interface != "" {
		fmt.Fprintf(&b, "iifname %q ", c.Interface)
	}
	proto := "ipv4"
	if listen.Addr().Is6() {
		proto = "ipv6"
	}
	fmt.Fprintf(&b, "meta nfproto %s tcp dport { ", proto)
	for i, p := range c.Ports {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, p)
	}
	return b.String() + " }"
}

func family(listen netip.AddrPort) string {
	if listen.Addr().Is6() {
		return "ip6"
	}
	return "ip"
}

func buildRuleset(nat, mangle []string) *ruleset {
	r := &ruleset{}
	var b strings.Builder
	// Adding it first makes deleting it succeed in any case.
	fmt.Fprintf(&b, "add table inet %[1]s\ndelete table inet %[1]s\ntable inet %[1]s {\n", rulesTable)
	if len(nat) > 0 {
		b.WriteString("\tchain turn_aside {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\t" + strings.Join(nat, "\n\t\t") + "\n\t}\n")
	}
	if len(mangle) > 0 {
		// What belongs to a socket of ours stays here, answers to --keep-source too.
		established := "meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set " + rulesMark + " accept"
		b.WriteString("\tchain take_in {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n\t\t" + established + "\n\t\t" + strings.Join(mangle, "\n\t\t") + "\n\t}\n")
		r.routes = routes("add")
	}
	b.WriteString("}\n")
	r.nft = b.String()
	return r
}

// routes are the calls of ip that have marked packets delivered here.
func routes(verb string) [][]string {
	var out [][]string
	for _, f := range [][2]string{{"-4", "0.0.0.0/0"}, {"-6", "::/0"}} {
		out = append(out,
			[]string{f[0], "rule", verb, "fwmark", rulesMark, "lookup", rulesRoute},
			[]string{f[0], "route", verb, "local", f[1], "dev", "lo", "table", rulesRoute})
	}
	return out
}

// checkPorts refuses rules that would cut off who applies them, or the relay
// from itself.
func checkPorts(ports []uint16, own uint16, ssh string) error {
	if len(ports) == 0 {
		return withHint(errors.New("no --ports given"), "for instance --ports 443")
	}
	if slices.Contains(ports, own) {
		return fmt.Errorf("port %d is that of the relay itself", own)
	}
	if f := strings.Fields(ssh); len(f) == 4 && slices.ContainsFunc(ports, func(p uint16) bool { return fmt.Sprint(p) == f[3] }) {
		return fmt.Errorf("port %s is that of your own SSH session, which would be cut off", f[3])
	}
	if slices.Contains(ports, 22) {
		return withHint(errors.New("port 22 is SSH, which is not TLS and may be the way into this machine"), "leave it out of --ports")
	}
	return nil
}

// script is the rules as shell commands.
func (r *ruleset) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nft -f - <<'END'\n%sEND\n", r.nft)
	for _, args := range r.routes {
		fmt.Fprintf(&b, "ip %s\n", strings.Join(args, " "))
	}
	return b.String()
}

// apply puts the rules in place, all or none.
func (r *ruleset) apply() error {
	if err := removeRules(); err != nil {
		return err
	}
	for _, args := range r.routes {
		if err := call("", "ip", args...); err != nil {
			return errors.Join(err, removeRules())
		}
	}
	if err := call(r.nft, "nft", "-f", "-"); err != nil {
		return errors.Join(err, removeRules())
	}
	return nil
}

// removeRules takes away what apply has made, if it has.
func removeRules() error {
	err := call(fmt.Sprintf("add table inet %[1]s\ndelete table inet %[1]s\n", rulesTable), "nft", "-f", "-")
	for _, args := range routes("del") {
		for call("", "ip", args...) == nil { // as often as it is there; then it fails
			if args[1] == "route" {
				break
			}
		}
	}
	return err
}

func call(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
