package corpus

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// named are preambles as tshark's protocol names in front of TLS tell them. What
// it does not tell is looked at with [knownPreambles].
var named = map[string]string{
	"http": "http-connect", "smtp": "smtp", "mysql": "mysql", "pgsql": "postgresql", "cotp": "rdp", "ftp": "ftp",
	"ldap": "ldap", "pop": "pop3", "xmpp": "xmpp", "imap": "imap", "irc": "irc", "pcp": "other",
}

// knownPreambles says what is in front of TLS where the list of public captures
// does not, found by reading the streams; by file and number of the connection.
var knownPreambles = map[string][]string{
	"arkime+arkime/tests/pcap/socks-https-example.pcap":                         {"socks4 93.184.216.119:443", "socks4a www.example.com:443", "socks5 93.184.216.119:443"},
	"arkime+arkime/tests/pcap/socks4-https.pcap":                                {"socks4a login.live.com:443"},
	"arkime+arkime/tests/pcap/adb_synthetic.pcap":                               {"other"}, // Android Debug Bridge
	"zeek+zeek/testing/btest/Traces/socks-with-ssl.pcap":                        {"socks5 www.google.com:443"},
	"ntop+nDPI/tests/cfgs/default/pcap/haproxy.pcap":                            {"proxy-v1 for 11.111.11.111:52176 to 222.222.222.22:443"},
	"ntop+nDPI/tests/cfgs/default/pcap/http_connect.pcap":                       {"http-connect apache.org:443"},
	"zeek+zeek/testing/btest/Traces/tls/xmpp-dialback-starttls.pcap":            {"xmpp-server"},
	"zeek+zeek/testing/btest/Traces/postgresql/psql-aws-ssl-require-15432.pcap": {"postgresql"},
	"zeek+zeek/testing/btest/Traces/mysql/tls-13-amazon-rds.pcap":               {"mysql"},
	"Lekensteyn+wireshark-notes/tls/smtp2525-ssl.pcapng":                        {"smtp"},
	"ntop+nDPI/tests/cfgs/default/pcap/pgsql2.pcapng":                           {"postgresql"},
	"ntop+nDPI/tests/cfgs/default/pcap/tls_heur__vmess-websocket.pcapng":        {"socks5 142.250.180.142:443"},
	"ntop+nDPI/tests/cfgs/default/pcap/tls_heur__shadowsocks-tcp.pcapng":        {"socks5 [2a00:1450:4002:416::200e]:443"},
	"ntop+nDPI/tests/cfgs/default/pcap/tls_heur__vmess-tcp-tls.pcapng":          {"socks5 216.58.204.142:443"},
}

// before writes a preamble with what it names.
func before(c *connection) string {
	s := c.Preamble
	if c.Target != "" {
		s += " " + c.Target
	}
	if c.Proxied != nil {
		s += fmt.Sprintf(" for %v to %v", c.Proxied.Source, c.Proxied.Dest)
	}
	return s
}

// TestPublicPreambles: what comes before TLS in public captures, against tshark
// and by name.
func TestPublicPreambles(t *testing.T) {
	dir := shared(t, "public")
	f, err := os.Open(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	met := make(map[string]int)
	for lines.Scan() {
		var tr truth
		if err := json.Unmarshal(lines.Bytes(), &tr); err != nil {
			t.Fatal(err)
		}
		known := knownPreambles[tr.File]
		tr.Streams = slices.DeleteFunc(tr.Streams, func(s stream) bool { return s.Transport != "tcp" })
		if len(tr.Streams) == 0 {
			continue
		}
		conns := judge(load(t, filepath.Join(dir, tr.File)))
		slices.SortStableFunc(conns, func(a, b connection) int { return a.Start.Compare(b.Start) })
		if known != nil {
			var got []string
			for i := range conns {
				if s := before(&conns[i]); s != "" {
					got = append(got, s)
				}
			}
			if !slices.Equal(got, known) {
				t.Errorf("%s: %q, want %q", tr.File, got, known)
			}
			met["by name"]++
			continue
		}
		byEnds := make(map[way][]*connection)
		for i := range conns {
			p := wayOf(&conns[i])
			byEnds[p] = append(byEnds[p], &conns[i])
		}
		for i := range tr.Streams {
			s := &tr.Streams[i]
			c := next(byEnds, s)
			if c == nil {
				continue
			}
			if slices.Contains(s.Before, "openvpn") {
				met["openvpn"]++
				if c.Method != "openvpn" || c.Preamble != "" {
					t.Errorf("%s %s: in %q behind %q", tr.File, s.Stream, c.Method, c.Preamble)
				}
				continue
			}
			want := ""
			for _, proto := range s.Before {
				if n := named[proto]; n != "" {
					want = n
				}
			}
			if want == "" && (len(s.Before) > 0 || c.Preamble == "") {
				continue
			}
			met[want]++
			if c.Preamble != want {
				t.Errorf("%s %s: %q, want %q", tr.File, s.Stream, before(c), want)
			}
		}
	}
	t.Logf("%v", met)
}

// TestTunnels holds what tun.pcap has before TLS.
func TestTunnels(t *testing.T) {
	var got []string
	for _, c := range judge(load(t, filepath.Join(shared(t, "matrix"), "tun.pcap"))) {
		got = append(got, before(&c))
		if c.verdict.Asked.String() != "yes" {
			t.Errorf("%s: %+v", before(&c), c.verdict)
		}
	}
	want := []string{
		"proxy-v1 for 127.0.0.1:47796 to 127.0.0.1:34761",
		"proxy-v2 for 127.0.0.1:44258 to 127.0.0.1:34762",
		"http-connect 127.0.0.1:34401",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), strings.Join(want, "; "))
	}
}
