package parse

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

var (
	random1 = strings.Repeat("0a", 32)
	random2 = strings.Repeat("0b", 32)
	secret1 = strings.Repeat("c1", 32)
	secret2 = strings.Repeat("c2", 48)
	secret3 = strings.Repeat("c3", 48)
)

func keyID(s string) (id [32]byte) {
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		panic(err)
	}
	return id
}

// found lists what a log gives for an id, in hexadecimal.
func found(k *Keys, id string, label keyLabel) string {
	var out []string
	for _, s := range k.find(keyID(id), label) {
		out = append(out, hex.EncodeToString(s))
	}
	return strings.Join(out, " ")
}

func TestKeyLog(t *testing.T) {
	tests := []struct {
		name, log string
		id        string
		label     keyLabel
		want      string
		stats     KeyStats
	}{
		{"master secret", "CLIENT_RANDOM R1 S2\n", random1, keyMaster, secret2, KeyStats{Secrets: 1}},
		{"without a last line end", "CLIENT_RANDOM R1 S2", random1, keyMaster, secret2, KeyStats{Secrets: 1}},
		{"CRLF, a mark in front, blank lines and comments", "\ufeffCLIENT_RANDOM R1 S2\r\n\r\n# note\r\n", random1, keyMaster, secret2, KeyStats{Secrets: 1}},
		{"tabs and several blanks", "  CLIENT_RANDOM\tR1   S2 \n", random1, keyMaster, secret2, KeyStats{Secrets: 1}},
		{"capital letters", strings.ToUpper("client_random R1 ") + strings.ToUpper(secret2) + "\n", random1, keyMaster, secret2, KeyStats{Secrets: 1}},
		{"client handshake", "CLIENT_HANDSHAKE_TRAFFIC_SECRET R1 S1\n", random1, keyClientHandshake, secret1, KeyStats{Secrets: 1}},
		{"server handshake", "SERVER_HANDSHAKE_TRAFFIC_SECRET R1 S2\n", random1, keyServerHandshake, secret2, KeyStats{Secrets: 1}},
		{"generations", "CLIENT_TRAFFIC_SECRET_0 R1 S1\nCLIENT_TRAFFIC_SECRET_17 R1 S2\n", random1, keyClientTraffic, secret1 + " " + secret2, KeyStats{Secrets: 2}},
		{"server traffic", "SERVER_TRAFFIC_SECRET_0 R1 S1\n", random1, keyServerTraffic, secret1, KeyStats{Secrets: 1}},
		{"no generation", "SERVER_TRAFFIC_SECRET_ R1 S1\n", random1, keyServerTraffic, "", KeyStats{Bad: 1}},
		{"early", "CLIENT_EARLY_TRAFFIC_SECRET R1 S1\n", random1, keyEarly, secret1, KeyStats{Secrets: 1}},
		{"drafts of QUIC", "QUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET R1 S1\n", random1, keyClientHandshake, secret1, KeyStats{Secrets: 1}},
		{"labels of no use", "EXPORTER_SECRET R1 S1\nEARLY_EXPORTER_SECRET R1 S1\nECH_SECRET R1 S1\nECH_CONFIG R1 00\n", random1, keyMaster, "", KeyStats{Ignored: 4}},
		{"several for one random", "CLIENT_RANDOM R1 S3\nCLIENT_RANDOM R2 S3\nCLIENT_RANDOM R1 S2\n", random1, keyMaster, secret3 + " " + secret2, KeyStats{Secrets: 3}},
		{"the same twice", "CLIENT_RANDOM R1 S2\nCLIENT_RANDOM R1 S2\n", random1, keyMaster, secret2, KeyStats{Secrets: 1}},
		{"premaster secret", "PMS_CLIENT_RANDOM R1 S2\n", random1, keyPremaster, secret2, KeyStats{Secrets: 1}},
		{"Diffie-Hellman premaster secret of 2048 bits", "PMS_CLIENT_RANDOM R1 " + strings.Repeat("d4", 256) + "\n", random1, keyPremaster, strings.Repeat("d4", 256), KeyStats{Secrets: 1}},
		{"Diffie-Hellman premaster secret of 8192 bits", "PMS_CLIENT_RANDOM R1 " + strings.Repeat("d5", 1024) + "\nCLIENT_RANDOM R1 S2\n", random1, keyPremaster, strings.Repeat("d5", 1024), KeyStats{Secrets: 2}},
		{"longer than any", "PMS_CLIENT_RANDOM R1 " + strings.Repeat("d5", 1025) + "\n", random1, keyPremaster, "", KeyStats{Bad: 1}},
		{"RSA premaster secret", "RSA 0102030405060708 S2\n", "0102030405060708" + strings.Repeat("00", 24), keyPremasterRSA, secret2, KeyStats{Secrets: 1}},
		{"by session id", "RSA Session-ID:R2 Master-Key:S2\n", random2, keyMasterByID, secret2, KeyStats{Secrets: 1}},
		{"torn by another writer", "CLIENT_RANDOM R1 c2c2CLIENT_RANDOM R1 S2\n", random1, keyMaster, secret2, KeyStats{Secrets: 1, Bad: 1}},
		{"cut short", "CLIENT_RANDOM R1 c2c2\nCLIENT_RANDOM R1\nCLIENT_RANDOM\nCLIENT_RANDOM R1 S", random1, keyMaster, "", KeyStats{Bad: 3}},
		{"not hexadecimal", "CLIENT_RANDOM R1 " + strings.Repeat("xy", 48) + "\n", random1, keyMaster, "", KeyStats{Bad: 1}},
		{"other text", "<html>\nhello world\n", random1, keyMaster, "", KeyStats{Bad: 2}},
		{"a line without end", strings.Repeat("ab", 8000) + "\nCLIENT_RANDOM R1 S2\n", random1, keyMaster, secret2, KeyStats{Secrets: 1, Bad: 1}},
	}
	fill := strings.NewReplacer("R1", random1, "R2", random2, "S1", secret1, "S2", secret2, "S3", secret3)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := []byte(fill.Replace(tt.log))
			for _, piece := range []int{len(log), 1, 7, 64} {
				k := NewKeys()
				l := k.Log()
				for rest := log; len(rest) > 0; {
					n := min(piece, len(rest))
					l.Write(rest[:n])
					rest = rest[n:]
				}
				l.Flush()
				if got := found(k, tt.id, tt.label); got != tt.want {
					t.Errorf("in pieces of %d: %q, want %q", piece, got, tt.want)
				}
				if k.Stats() != tt.stats {
					t.Errorf("in pieces of %d: %+v, want %+v", piece, k.Stats(), tt.stats)
				}
			}
		})
	}
}

// TestKeyLogGrows: a last line that is complete but has no end yet is taken at
// once, and is no second one when it ends.
func TestKeyLogGrows(t *testing.T) {
	k := NewKeys()
	l := k.Log()
	for _, piece := range []string{"CLIENT_RANDOM " + random1, " " + secret2, "\nCLIENT_RANDOM " + random2 + " " + secret2[:40], secret2[40:] + "\n"} {
		l.Write([]byte(piece))
		l.Flush()
	}
	if want := (KeyStats{Secrets: 2}); k.Stats() != want {
		t.Errorf("%+v, want %+v", k.Stats(), want)
	}
}

func TestKeysBounded(t *testing.T) {
	for _, limit := range []int{0, 1 << 20} {
		keysBounded(t, limit)
	}
}

func keysBounded(t *testing.T, limit int) {
	t.Helper()
	k := NewKeys()
	k.Limit = limit
	l := k.Log()
	for i := range maxCandidates + 5 {
		fmt.Fprintf(l, "CLIENT_RANDOM %s %096x\n", random1, i)
	}
	if got := len(k.find(keyID(random1), keyMaster)); got != maxCandidates || k.Stats().Dropped != 5 {
		t.Errorf("%d candidates, %+v", got, k.Stats())
	}
	many := 600_000
	if limit > 0 {
		many = limit / 64
	}
	line := []byte("CLIENT_RANDOM " + random1 + " " + secret2 + "\n")
	for i := range many {
		copy(line[14:], fmt.Sprintf("%08x", i))
		l.Write(line)
	}
	held := 0
	for _, gen := range []map[[32]byte]secrets{k.old, k.young} {
		for _, s := range gen {
			held += 96 + len(s)
		}
	}
	if held > k.limit() || held < k.limit()/4 {
		t.Errorf("limit %d: %d bytes held", limit, held)
	}
	if s := k.Stats(); s.Dropped == 5 || s.Secrets != int64(many)+maxCandidates {
		t.Errorf("%+v", s)
	}
	if found(k, string(line[14:14+64]), keyMaster) == "" {
		t.Error("the latest secret was dropped")
	}
}

// FuzzKeyLog: no bytes do harm, and how they are cut makes no difference.
func FuzzKeyLog(f *testing.F) {
	f.Add([]byte("CLIENT_RANDOM "+random1+" "+secret2+"\r\nSERVER_TRAFFIC_SECRET_0 "+random1+" "+secret1), uint8(5))
	f.Add([]byte("RSA Session-ID:"+random1+" Master-Key:"+secret2+"\nRSA 0102030405060708 "+secret2+"\n#\n"), uint8(1))
	f.Fuzz(func(t *testing.T, log []byte, size uint8) {
		whole, cut := NewKeys(), NewKeys()
		a, b := whole.Log(), cut.Log()
		a.Write(log)
		for rest := log; len(rest) > 0; {
			n := min(1+int(size), len(rest))
			b.Write(rest[:n])
			rest = rest[n:]
		}
		a.Flush()
		b.Flush()
		if whole.Stats() != cut.Stats() || len(whole.young) != len(cut.young) {
			t.Fatalf("%+v in one piece, %+v in several", whole.Stats(), cut.Stats())
		}
		for id, s := range whole.young {
			if !bytes.Equal(s, cut.young[id]) {
				t.Fatal("cutting changes secrets")
			}
		}
	})
}
