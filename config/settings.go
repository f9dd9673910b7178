package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"whoasked/attribute"
)

// setting is one row of the table.
type setting struct {
	key     string
	short   string // one-letter flag, empty for none
	def     string // default, as it would be written in the environment
	help    string // one line; the word in backquotes stands for the value
	choices []string
	toggle  bool // a flag that may stand alone
	list    bool // a flag that may be repeated

	// store reads a raw value, a string or what YAML made of the file, into its
	// field. value returns the field.
	store func(*Config, any) error
	value func(*Config) any
}

// settings is the table of all settings; related ones stand together.
var settings = []setting{
	row("format", "f", "text", "write answers as `FORMAT`: text, json or log",
		oneOf("text", "json", "log"), func(c *Config) *string { return &c.Format }),
	row("output", "o", "", "write to `FILE`, which appears when all is written",
		anything, func(c *Config) *string { return &c.Output }),
	row("only", "", "all", "list only connections of one `KIND`: asked, unknown or all",
		oneOf("asked", "unknown", "all"), func(c *Config) *string { return &c.Only }),
	row("sni", "", "", "look only at servers called `NAME`, with * for any letters",
		listOf(glob), func(c *Config) *[]string { return &c.SNI }),
	row("client", "", "", "look only at clients at `ADDRESS[/BITS][:PORT]`",
		listOf(addressRange), func(c *Config) *[]attribute.Range { return &c.Client }),
	row("server", "", "", "look only at servers at `ADDRESS[/BITS][:PORT]`",
		listOf(addressRange), func(c *Config) *[]attribute.Range { return &c.Server }),
	row("keylog", "", "", "open sealed handshakes with the secrets in `FILE`, a key log as SSLKEYLOGFILE makes programs write it",
		listOf(asIs), func(c *Config) *[]string { return &c.Keylog }),
	row("confirm", "", "false", "ask endpoints themselves, each once, of which read, watch or relay can only infer that they ask, or cannot tell",
		yesNo, func(c *Config) *bool { return &c.Confirm }),
	row("exit-code", "", "false", "end with status 0 if nobody asked, 1 if somebody did, 3 if it cannot be told",
		yesNo, func(c *Config) *bool { return &c.ExitCode }),
	row("quiet", "q", "false", "write nothing but answers and errors",
		yesNo, func(c *Config) *bool { return &c.Quiet }),
	row("no-color", "", "false", "write text without colours",
		yesNo, func(c *Config) *bool { return &c.NoColor }),
	row("rows", "", "50", "show at most `N` connections in text, 0 for none",
		whole(0, 100_000), func(c *Config) *int { return &c.Rows }),
	row("limits.flows", "", "32768", "follow at most `N` connections at one time",
		whole(1, 10_000_000), func(c *Config) *int { return &c.Limits.Flows }),
	row("limits.flow-bytes", "", "256KiB", "wait for missing bytes with at most `SIZE` kept behind them, in one direction of a connection",
		size(4<<10, 1<<30), func(c *Config) *Bytes { return &c.Limits.FlowBytes }),
	row("limits.total-bytes", "", "16MiB", "the same for all connections together: at most `SIZE`",
		size(64<<10, 1<<30), func(c *Config) *Bytes { return &c.Limits.TotalBytes }),
	row("limits.idle", "", "10m", "take a connection for over after `TIME` of silence",
		period, func(c *Config) *timeSpan { return &c.Limits.Idle }),
	row("decode.vxlan-ports", "", "", "look for VXLAN at UDP port `PORT`, beside those that are known",
		listOf(portNumber), func(c *Config) *[]uint16 { return &c.Decode.VXLANPorts }),
	row("log.level", "", "info", "in format log, write lines of at least `LEVEL`: debug, info, warn or error",
		oneOf("debug", "info", "warn", "error"), func(c *Config) *string { return &c.Log.Level }),
	row("watch.interfaces", "i", "any", "capture at `INTERFACE`; any stands for all",
		listOf(asIs), func(c *Config) *[]string { return &c.Watch.Interfaces }),
	row("watch.promiscuous", "", "false", "capture frames meant for others too",
		yesNo, func(c *Config) *bool { return &c.Watch.Promiscuous }),
	row("watch.ring", "", "16MiB", "share a buffer of `SIZE` with the kernel for each interface",
		size(512<<10, 2<<30), func(c *Config) *Bytes { return &c.Watch.Ring }),
	row("watch.snap-length", "", "256KiB", "capture at most `SIZE` of a packet",
		size(64, 256<<10), func(c *Config) *Bytes { return &c.Watch.SnapLength }),
	row("watch.host", "", "", "capture only what `ADDRESS` sends or receives",
		listOf(address), func(c *Config) *[]netip.Prefix { return &c.Watch.Hosts }),
	row("watch.net", "", "", "capture only what `ADDRESS/BITS` sends or receives",
		listOf(prefix), func(c *Config) *[]netip.Prefix { return &c.Watch.Nets }),
	row("watch.port", "", "", "capture only connections with `PORT` at one end",
		listOf(port), func(c *Config) *[]uint16 { return &c.Watch.Ports }),
	row("watch.not", "", "", "leave out what `ADDRESS[/BITS][:PORT]` sends or receives",
		listOf(addressRange), func(c *Config) *[]attribute.Range { return &c.Watch.Not }),
	row("watch.plain-filter", "", "false", "do without eBPF in the kernel",
		yesNo, func(c *Config) *bool { return &c.Watch.PlainFilter }),
	row("watch.collapse", "", "1m", "in format log, write the same answer of one endpoint once in `TIME`, and then how often it came; 0s for all",
		between(0, 24*time.Hour), func(c *Config) *timeSpan { return &c.Watch.Collapse }),
	row("watch.evidence", "", "", "keep the packets of each connection that was asked, or of which that cannot be told, in a file in `FOLDER`",
		anything, func(c *Config) *string { return &c.Watch.Evidence }),
	row("watch.evidence-size", "", "256MiB", "remove the oldest of these files beyond `SIZE` in all",
		size(1<<20, 1<<40), func(c *Config) *Bytes { return &c.Watch.EvidenceSize }),
	row("watch.evidence-age", "", "720h", "remove those older than `TIME`; 0s for never",
		between(0, 10*366*24*time.Hour), func(c *Config) *timeSpan { return &c.Watch.EvidenceAge }),
	row("service.metrics", "", "", "serve Prometheus metrics at `ADDRESS:PORT`, or at PORT of this machine",
		metricsAddress, func(c *Config) *string { return &c.Service.Metrics }),
	row("service.rotate-size", "", "100MiB", "begin a new output file at `SIZE`",
		size(1<<20, 1<<40), func(c *Config) *Bytes { return &c.Service.RotateSize }),
	row("service.rotate-age", "", "24h", "begin a new output file after `TIME`; 0s for never",
		between(0, 366*24*time.Hour), func(c *Config) *timeSpan { return &c.Service.RotateAge }),
	row("service.rotate-keep", "", "10", "keep `N` old output files",
		whole(0, 10_000), func(c *Config) *int { return &c.Service.RotateKeep }),
	row("service.user", "", "nobody", "become `USER` once sockets are open, when running as root",
		anything, func(c *Config) *string { return &c.Service.User }),
	row("service.keep-privileges", "", "false", "give up no privileges once sockets are open",
		yesNo, func(c *Config) *bool { return &c.Service.KeepPrivileges }),
	row("hops", "", "", "give an endpoint a name, as `NAME=WHAT`: WHAT is an address, a host name or a fingerprint",
		hopList, func(c *Config) *attribute.Hops { return &c.Hops }),
	row("relay.listen", "", "", "accept clients at `ADDRESS:PORT`; each may be followed by its own --to",
		listOf(listenAddress), func(c *Config) *[]string { return &c.Relay.Listen }),
	row("relay.to", "", "", "lead them to `WHERE`: HOST:PORT, or a way to find out: "+strings.Join(Ways, ", "),
		listOf(destination), func(c *Config) *[]string { return &c.Relay.To }),
	row("relay.allow", "", "", "let clients in from `ADDRESS[/BITS]` only",
		listOf(addressRange), func(c *Config) *[]attribute.Range { return &c.Relay.Allow }),
	row("relay.targets", "", "", "let clients go to `WHERE` only: ADDRESS[/BITS][:PORT] or NAME[:PORT], with * for any letters",
		listOf(targetRule), func(c *Config) *[]Target { return &c.Relay.Targets }),
	row("relay.accept-proxy", "", "", "take `ADDRESS[/BITS]` for proxies, whose connections have to begin with a PROXY header",
		listOf(addressRange), func(c *Config) *[]attribute.Range { return &c.Relay.AcceptProxy }),
	row("relay.send-proxy", "", "no", "say who the client is in a PROXY header of `VERSION`: no, v1 or v2",
		oneOf("no", "v1", "v2"), func(c *Config) *string { return &c.Relay.SendProxy }),
	row("relay.via", "", "", "connect onward through the proxy at `URL`: http://HOST:PORT or socks5://HOST:PORT",
		kind[Via]{read: via}, func(c *Config) *Via { return &c.Relay.Via }),
	row("relay.via-login", "", "", "tell it the USER:PASSWORD in `FILE`, or in the environment variable NAME with env:NAME",
		anything, func(c *Config) *string { return &c.Relay.ViaLogin }),
	row("relay.keep-source", "", "false", "with tproxy, connect onward from the client's address",
		yesNo, func(c *Config) *bool { return &c.Relay.KeepSource }),
	row("relay.ports", "", "443", "with redirect and tproxy, rules take connections to `PORT`",
		listOf(portNumber), func(c *Config) *[]uint16 { return &c.Relay.Ports }),
	row("relay.interface", "", "", "with redirect and tproxy, rules take what comes in by `DEVICE` only",
		interfaceName, func(c *Config) *string { return &c.Relay.Interface }),
	row("relay.resolver", "", "", "ask the DNS server at `ADDRESS[:PORT]` for targets, and no hosts file",
		resolver, func(c *Config) *string { return &c.Relay.Resolver }),
	row("relay.timeout", "", "10s", "give up connecting to a target after `TIME`",
		period, func(c *Config) *timeSpan { return &c.Relay.Timeout }),
	row("relay.handshake", "", "10s", "give clients `TIME` to say where they want to go",
		period, func(c *Config) *timeSpan { return &c.Relay.Handshake }),
	row("relay.idle", "", "1h", "end a connection after `TIME` without a byte",
		period, func(c *Config) *timeSpan { return &c.Relay.Idle }),
	row("relay.drain", "", "10s", "give connections `TIME` to end by themselves when stopping",
		period, func(c *Config) *timeSpan { return &c.Relay.Drain }),
	row("relay.inspect", "", "", "end TLS for servers in `DOMAIN` and below, to read what they ask; needs --ca",
		listOf(asIs), func(c *Config) *[]string { return &c.Relay.Inspect }),
	row("relay.ca", "", "", "issue certificates for them by the authority in `FOLDER`, as whoasked ca init makes it",
		anything, func(c *Config) *string { return &c.Relay.CA }),
	row("relay.on-request", "", "none", "when such a server asks for a client certificate, answer with `WHAT`: none, certificate (--client-cert), mirror (none, and ask the client the same) or pass (leave it alone from then on)",
		oneOf("none", "certificate", "mirror", "pass"), func(c *Config) *string { return &c.Relay.OnRequest }),
	row("relay.on-failure", "", "pass", "where such a connection cannot be looked into, `WHAT` becomes of it: pass or fail",
		oneOf("pass", "fail"), func(c *Config) *string { return &c.Relay.OnFailure }),
	row("relay.client-cert", "", "", "answer with the certificate chain in `FILE` (PEM, or PKCS #12 as .p12 or .pfx)",
		anything, func(c *Config) *string { return &c.Relay.ClientCert }),
	row("relay.client-key", "", "", "its private key is in `FILE` (PEM)",
		anything, func(c *Config) *string { return &c.Relay.ClientKey }),
	row("relay.upstream-ca", "", "", "trust servers that the certificates in `FILE` (PEM) vouch for, beside those the system trusts",
		anything, func(c *Config) *string { return &c.Relay.UpstreamCA }),
	row("relay.write-keylog", "", "", "append the secrets of both sides to `FILE`, for Wireshark",
		anything, func(c *Config) *string { return &c.Relay.WriteKeylog }),
	row("relay.max-connections", "", "4096", "relay at most `N` connections at one time",
		whole(1, 1_000_000), func(c *Config) *int { return &c.Relay.MaxConnections }),
	row("relay.max-per-client", "", "1024", "relay at most `N` connections of one client at one time",
		whole(1, 1_000_000), func(c *Config) *int { return &c.Relay.MaxPerClient }),
	row("relay.max-rate", "", "500", "let a client open at most `N` connections a second",
		whole(1, 1_000_000), func(c *Config) *int { return &c.Relay.MaxRate }),
	row("relay.tap-bytes", "", "8MiB", "keep at most `SIZE` for the parser; what goes beyond is relayed unseen",
		size(64<<10, 1<<30), func(c *Config) *Bytes { return &c.Relay.TapBytes }),
}

// groups are the keys in front whose settings matter to some commands only, which
// have them as flags without the group's name: those of service to all that run
// for as long as one likes, the others to the command of that name.
var groups = []string{"relay", "service", "watch"}

// row builds a setting of type T from how to read it and where it belongs.
func row[T any](key, short, def, help string, k kind[T], field func(*Config) *T) setting {
	return setting{
		key: key, short: short, def: def, help: help,
		choices: k.choices, toggle: k.toggle, list: k.list,
		store: func(c *Config, raw any) error {
			v, err := k.read(raw)
			if err == nil {
				*field(c) = v
			}
			return err
		},
		value: func(c *Config) any { return *field(c) },
	}
}

const envPrefix = "WHOASKED_"

// fileFlag names the file itself; it cannot be set in the file.
const fileFlag = "config"

func (s *setting) flag() string {
	return strings.ReplaceAll(strings.TrimPrefix(s.key, s.group()+"."), ".", "-")
}

// group is the group that the setting is of, empty if it matters to all commands.
func (s *setting) group() string {
	if g, _, _ := strings.Cut(s.key, "."); slices.Contains(groups, g) {
		return g
	}
	return ""
}

func (s *setting) env() string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.key))
}

func (s *setting) describe() Setting {
	return Setting{
		Key: s.key, Flag: s.flag(), Env: s.env(),
		Help: strings.ReplaceAll(s.help, "`", ""), Choices: s.choices,
	}
}

// All describes every setting, in the order of the table.
func All() []Setting {
	out := make([]Setting, len(settings))
	for i := range settings {
		out[i] = settings[i].describe()
	}
	return out
}

// Groups lists the groups of settings that only some commands have.
func Groups() []string { return slices.Clone(groups) }

// AddFlags adds a flag for every setting that matters to all commands, or is of
// one of the groups named, and --config, to a set.
func AddFlags(fs *pflag.FlagSet, of ...string) {
	fs.String(fileFlag, "", "read settings from `FILE` (default whoasked.yaml here, then in the user's configuration directory)")
	for i := range settings {
		s := &settings[i]
		if g := s.group(); g != "" && !slices.Contains(of, g) {
			continue
		}
		f := fs.VarPF(&text{value: s.def, list: s.list, toggle: s.toggle}, s.flag(), s.short, s.help)
		if s.toggle {
			f.NoOptDefVal = "true"
		}
	}
}

// text is a flag that is only checked with all other settings, so that a bad
// value is reported the same way wherever it comes from.
type text struct {
	value        string
	list, toggle bool
	set          bool
}

func (t *text) String() string { return t.value }

// Type names the value in the help: nothing for a toggle.
func (t *text) Type() string {
	if t.toggle {
		return "bool"
	}
	return "text"
}

func (t *text) Set(s string) error {
	if t.list && t.set {
		s = t.value + "," + s
	}
	t.value, t.set = s, true
	return nil
}
