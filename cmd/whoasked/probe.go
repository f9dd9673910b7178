package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whoasked/capture/probe"
	"whoasked/config"
)

const probeHelp = `probe connects as a TLS client to every address of each target, and to every
configured hop with --each-hop, and tells which of them request a client certificate:
from whom, under which name, with which version and protocol, and whether they
insist. What the server sends is read with the keys of the connection, also in
TLS 1.3, by the parser that reads captures.

A target is a host, host:port, an address, or a URL; @FILE stands for the targets
in a file, one a line, and - for those on standard input. The scheme says what to speak before TLS
(smtp, imap, pop3, ftp, ldap, postgres, mysql, xmpp and others), or that TLS comes
at once and holds no HTTP (imaps, smtps, ldaps and others; tls for any). A target that
speaks HTTP is sent one GET request for the path, since some servers ask, or
refuse, only then.

With --each-name addresses are also asked under no name, one that nobody has, those
of the server's certificate and of configured hops, at most 16 an address.

Each combination of address, name, version and protocol gets fresh connections
that resume nothing, and then one that does, to show what resumption hides. With
TLS 1.3 one more offers post-handshake authentication, as curl does and browsers
do not.

Exit status:
  0    all was probed; with --exit-code: and nobody asked; with --against: and
       nothing differs
  1    with --exit-code: somebody asked; with --against: an answer differs, whoever asked
  2    a target or the file of --against is not understood, or a name was not found
  3    with --exit-code: nobody asked, but for some endpoint it cannot be told; with
       --against: nothing differs as far as it can be told
  130  SIGINT or SIGTERM came; what was known until then was told`

// probeFlags are the flags of probe beside the settings.
type probeFlags struct {
	addresses, names, versions, alpn []string
	eachNames                        []string
	resolver, as, proxy              string
	clientCert, clientKey            string
	header, headerSource, headerTo   string
	save, against, wouldOffer        string
	repeat, parallel                 int
	timeout, every                   time.Duration
	resume, later, hops, rowsSet     bool
}

func newProbe(t *terminal) *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use:   "probe TARGET...",
		Short: "Ask endpoints themselves",
		Long:  probeHelp,
		Example: `  whoasked probe https://portal.contoso.test/
  whoasked probe --each-hop --repeat 10 https://portal.contoso.test/signin
  whoasked probe --name portal.contoso.test --name "" 198.18.0.20:443
  whoasked probe smtp://mail.contoso.test --as openssl-like
  whoasked probe --watch 30s --repeat 5 https://portal.contoso.test/`,
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			if err := noFilters(loaded, "probe"); err != nil {
				return err
			}
			if loaded.Given("keylog") {
				return withHint(errors.New("probe takes no --keylog: it has the keys of its own connections"), "whoasked read --keylog opens captures")
			}
			f.rowsSet = cmd.Flags().Changed("rows")
			return runProbe(cmd.Context(), &loaded.Config, t, &f, args)
		},
	}
	addSettings(cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&f.addresses, "address", nil, "connect to `ADDRESS` instead of what the name resolves to")
	fs.StringVar(&f.resolver, "resolver", "", "ask the name server at `ADDRESS[:PORT]`")
	fs.StringArrayVar(&f.names, "name", nil, "send `NAME` as SNI instead of the target's; empty for none (may be repeated)")
	fs.StringSliceVar(&f.eachNames, "each-name", nil, "also send names of a `KIND`: none, random, certificate (those in the server's), hops (those configured), all")
	fs.StringSliceVar(&f.versions, "tls", []string{"1.2", "1.3"}, "offer only `VERSION`, one at a time: 1.0, 1.1, 1.2, 1.3")
	fs.StringSliceVar(&f.alpn, "alpn", []string{"http/1.1", "h2"}, "offer only `PROTOCOL`, one at a time; none for no extension")
	fs.IntVar(&f.repeat, "repeat", 1, "make `N` fresh connections of each kind")
	fs.StringVar(&f.as, "as", "go", "send the ClientHello of `CLIENT`: "+strings.Join(probe.HelloNames(), ", "))
	fs.BoolVar(&f.resume, "resume", true, "also resume a session, to show what that hides")
	fs.BoolVar(&f.later, "later", true, "also offer post-handshake authentication in TLS 1.3")
	fs.BoolVar(&f.hops, "each-hop", false, "also connect to every configured hop that has an address")
	fs.StringVar(&f.proxy, "proxy", "", "go through the proxy at `URL`: http://HOST:PORT (CONNECT) or socks5://HOST:PORT")
	fs.StringVar(&f.clientCert, "client-cert", "", "answer requests with the certificate chain in `FILE` (PEM, or PKCS #12 as .p12 or .pfx)")
	fs.StringVar(&f.clientKey, "client-key", "", "its private key is in `FILE` (PEM)")
	fs.StringVar(&f.header, "send-proxy", "", "begin with a PROXY header of `VERSION` v1 or v2")
	fs.StringVar(&f.headerSource, "send-proxy-source", "", "which says that the client is `ADDRESS:PORT`")
	fs.StringVar(&f.headerTo, "send-proxy-target", "", "and that it came for `ADDRESS:PORT`")
	fs.StringVar(&f.save, "save", "", "also write all answers to `FILE` as JSON Lines, for --against")
	fs.StringVar(&f.against, "against", "", "tell what differs from the run that was saved in `FILE`")
	fs.StringVar(&f.wouldOffer, "would-offer", "", "tell which certificates in the folder `DIR` a browser would offer")
	fs.IntVar(&f.parallel, "parallel", 16, "make at most `N` connections at a time, 4 to one address")
	fs.DurationVar(&f.timeout, "timeout", 10*time.Second, "give each step of a connection at most `TIME`")
	fs.DurationVar(&f.every, "watch", 0, "probe again every `TIME` until the answer changes")
	must(cmd.MarkFlagFilename("against", "jsonl"))
	must(cmd.MarkFlagDirname("would-offer"))
	must(cmd.RegisterFlagCompletionFunc("each-name", cobra.FixedCompletions(append(nameKinds[:len(nameKinds):len(nameKinds)], "all"), cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("as", cobra.FixedCompletions(probe.HelloNames(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// someTarget demands a target.
func someTarget(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return withHint(errors.New("no target given"), "name one or more, such as https://portal.contoso.test/")
	}
	return nil
}

// noFilters refuses settings that choose among connections of others.
func noFilters(loaded *config.Loaded, command string) error {
	for _, key := range []string{"sni", "client", "server"} {
		if loaded.Given(key) {
			return withHint(fmt.Errorf("%s takes no --%s: it chooses its connections itself", command, key), "--name is the server name to send, --address where to connect")
		}
	}
	if from := loaded.From("confirm"); strings.HasPrefix(from, "flag") {
		return withHint(fmt.Errorf("%s takes no --confirm", command), "it asks endpoints anyway; --confirm has read, watch and relay do so")
	}
	return nil
}

// tlsVersions are the versions that --tls takes.
var tlsVersions = []struct {
	name  string
	value uint16
}{{"1.0", tls.VersionTLS10}, {"1.1", tls.VersionTLS11}, {"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

// matrix is what the flags ask for, but for addresses and names.
func (f *probeFlags) matrix() (probe.Matrix, error) {
	m := probe.Matrix{Repeat: f.repeat, Resume: f.resume, Later: f.later}
	switch {
	case f.repeat < 1 || f.parallel < 1:
		return m, errors.New("--repeat and --parallel take a whole number from 1")
	case f.timeout <= 0 || f.every < 0:
		return m, errors.New("--timeout and --watch take a time above 0, such as 10s")
	case f.eachName() != nil:
		return m, f.eachName()
	case len(f.versions) == 0 || len(f.alpn) == 0:
		return m, errors.New("--tls and --alpn take at least one value; --alpn none offers no protocol")
	}
	for _, name := range f.versions {
		i := slices.IndexFunc(tlsVersions, func(v struct {
			name  string
			value uint16
		}) bool {
			return v.name == strings.TrimPrefix(strings.ToLower(name), "tls")
		})
		if i < 0 {
			return m, fmt.Errorf("--tls %s is none of 1.0, 1.1, 1.2 and 1.3", name)
		}
		m.Versions = append(m.Versions, tlsVersions[i].value)
	}
	for _, p := range f.alpn {
		if p == "none" {
			p = ""
		}
		m.ALPN = append(m.ALPN, p)
	}
	return m, nil
}
