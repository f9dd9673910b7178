package corpus

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"whoasked/attribute"
	"whoasked/capture/file"
	"whoasked/parse"
)

// keysFrom reads key logs, each written in two pieces.
func keysFrom(logs ...[]byte) *parse.Keys {
	k := parse.NewKeys()
	for _, log := range logs {
		l := k.Log()
		l.Write(log[:len(log)/2])
		l.Write(log[len(log)/2:])
		l.Flush()
	}
	return k
}

func readFile(t *testing.T, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMatrixUnsealed: with its keys, every TLS 1.3 handshake of the matrix whose
// client wrote some is read and not inferred, whatever form the keys come in.
func TestMatrixUnsealed(t *testing.T) {
	dir := shared(t, "matrix")
	log := readFile(t, dir, "keys.log")
	lines := bytes.SplitAfter(log, []byte("\n"))
	wrong := bytes.Map(func(r rune) rune {
		if r == 'a' {
			return 'b'
		}
		return r
	}, log)
	var secretsFirst []byte // the label and random as they are, the secret turned over
	for _, line := range lines {
		if f := bytes.Fields(bytes.Clone(line)); len(f) == 3 {
			slices.Reverse(f[2])
			secretsFirst = append(append(secretsFirst, bytes.Join(f, []byte(" "))...), '\n')
		}
	}
	for name, keys := range map[string]*parse.Keys{
		"as it is":           keysFrom(log),
		"backwards":          keysFrom(bytes.Join(reversed(lines), nil)),
		"in many files":      keysFrom(lines...),
		"after wrong values": keysFrom(secretsFirst, wrong, log, secretsFirst),
		"in capitals, CRLF":  keysFrom(bytes.ReplaceAll(bytes.ToUpper(log), []byte("\n"), []byte("\r\n"))),
	} {
		t.Run(name, func(t *testing.T) {
			want, _ := matrixRuns(t, dir)
			conns := judgeWith(load(t, filepath.Join(dir, "matrix.pcap")), keys)
			slices.SortStableFunc(conns, func(a, b connection) int { return a.Start.Compare(b.Start) })
			right, total := 0, 0
			for _, c := range conns {
				_, server := c.Ends()
				if len(want[server.Port()]) == 0 {
					continue
				}
				r := want[server.Port()][0]
				want[server.Port()] = want[server.Port()][1:]
				if r.version != "13" || r.client == "nss" {
					continue
				}
				total++
				asked, reply := attribute.Yes, attribute.ReplyEmpty
				switch {
				case r.mode == "0":
					asked, reply = attribute.No, attribute.NoReply
				case r.cert == "cert":
					reply = attribute.ReplyCert
				}
				v := c.verdict
				if v.Basis != attribute.Unsealed || v.Asked != asked || v.Reply != reply ||
					v.Required == attribute.Yes && r.mode != "2" || v.Required == attribute.No && r.mode == "2" {
					t.Errorf("%+v: %+v", r, v)
					continue
				}
				if asked == attribute.Yes && (len(c.Requests) != 1 || c.Requests[0].Malformed != "" || len(c.Requests[0].SignatureAlgorithms) == 0) {
					t.Errorf("%+v: requests %+v", r, c.Requests)
				}
				if (reply == attribute.ReplyCert) != (len(c.ClientCerts()) > 0) || len(c.ServerCerts()) == 0 {
					t.Errorf("%+v: %d certificates of the client, %d of the server", r, len(c.ClientCerts()), len(c.ServerCerts()))
				}
				right++
			}
			if right != 72 || total != 72 {
				t.Errorf("%d of %d right, want 72 of 72", right, total)
			}
		})
	}
}

func reversed(lines [][]byte) [][]byte {
	out := slices.Clone(lines)
	slices.Reverse(out)
	return out
}

// TestEmbeddedSecrets: the secrets are in the file, in front of the packets or
// behind them.
func TestEmbeddedSecrets(t *testing.T) {
	dir := shared(t, "matrix")
	for _, name := range []string{"r13_dsbstart", "r13_dsbend"} {
		name := filepath.Join(dir, name+".pcapng")
		r, err := file.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		keys := parse.NewKeys()
		if err := r.UseSecrets(keys.Log()); err != nil {
			t.Fatal(err)
		}
		r.Close()
		conns := judgeWith(load(t, name), keys)
		opened := 0
		for _, c := range conns {
			if c.verdict.Asked != attribute.Yes {
				t.Errorf("%s: %+v", name, c.verdict)
			}
			if c.verdict.Basis == attribute.Unsealed {
				opened++
			}
		}
		if opened != 6 { // NSS, which is in it twice, wrote no keys
			t.Errorf("%s: %d connections opened", name, opened)
		}
	}
}

// TestPostHandshakeUnsealed: one connection of reneg.pcap is asked behind its
// TLS 1.3 handshake.
func TestPostHandshakeUnsealed(t *testing.T) {
	dir := shared(t, "matrix")
	for _, c := range judgeWith(load(t, filepath.Join(dir, "reneg.pcap")), keysFrom(readFile(t, dir, "rkeys.log"))) {
		if c.Keys == parse.KeysNone {
			continue
		}
		v := c.verdict
		switch _, server := c.Ends(); server.Port() {
		case 34701:
			if v.Asked != attribute.Yes || v.When != attribute.AfterHandshake || v.Basis != attribute.Unsealed || v.Reply != attribute.ReplyCert {
				t.Errorf("%+v", v)
			}
			if len(c.Requests) != 1 || len(c.Requests[0].Authorities) != 2 || len(c.Requests[0].Context) == 0 {
				t.Errorf("%+v", c.Requests)
			}
		case 34700:
			if v.Asked != attribute.No {
				t.Errorf("%+v", v)
			}
		default:
			t.Errorf("keys for %v", server)
		}
		for _, s := range c.Sides {
			if s.Unopened > 0 || s.Malformed != "" {
				t.Errorf("%+v", s)
			}
		}
	}
}

// TestPublicPremaster: a public key log names one pre_master_secret by its RSA
// encryption; that alone opens the connection it belongs to.
func TestPublicPremaster(t *testing.T) {
	dir := filepath.Join(shared(t, "public"), "fkie-cad+pcapFS", "tests", "crypto", "feature_test")
	var log []byte
	for line := range bytes.Lines(readFile(t, dir, "feature_test.pcap.keylog")) {
		if bytes.HasPrefix(line, []byte("RSA ")) {
			log = append(log, line...)
		}
	}
	opened := 0
	for _, c := range judgeWith(load(t, filepath.Join(dir, "feature_test.pcap")), keysFrom(log)) {
		if c.Keys == parse.KeysOpened {
			opened++
			if s := c.Sides; s[0].Opened == 0 || s[1].Opened == 0 || s[0].Unopened+s[1].Unopened > 0 {
				t.Errorf("%+v", s)
			}
		}
	}
	if opened != 1 {
		t.Errorf("%d connections opened, want 1", opened)
	}
}
