package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tlsSecrets is the body of a block with a key log.
func tlsSecrets(order binary.ByteOrder, log string) []byte {
	b := make([]byte, 8, 8+len(log))
	order.PutUint32(b, secretsTLS)
	order.PutUint32(b[4:], uint32(len(log)))
	return append(b, log...)
}

// secretsIn reads a file to its end, from the disk or as a stream, and returns
// the key logs in it.
func secretsIn(t *testing.T, file []byte, disk bool) (string, Stats, error) {
	t.Helper()
	var r *Reader
	var err error
	if disk {
		name := filepath.Join(t.TempDir(), "f.pcapng")
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err = Open(name)
	} else {
		r, err = New(bytes.NewReader(file), "stream")
	}
	if err != nil {
		return "", Stats{}, err
	}
	defer r.Close()
	var log bytes.Buffer
	if err := r.UseSecrets(&log); err != nil {
		t.Fatal(err)
	}
	early := log.String()
	for err == nil {
		var p Packet
		err = r.Next(&p)
	}
	if disk && early != log.String() {
		t.Errorf("written while reading: %q behind %q", log.String(), early)
	}
	return log.String(), r.Stats(), err
}

func TestSecrets(t *testing.T) {
	long := strings.Repeat("CLIENT_RANDOM of some length\n", 40_000)
	tests := []struct {
		name  string
		file  []byte
		log   string
		stats Stats
	}{
		{"in front", start().block(blockSecrets, tlsSecrets(le, "a\n")).enhanced(0, 1, 1, []byte{1}).b, "a\n\n", Stats{Packets: 1, Secrets: 1}},
		{"behind", start().enhanced(0, 1, 1, []byte{1}).block(blockSecrets, tlsSecrets(le, "a")).b, "a\n", Stats{Packets: 1, Secrets: 1}},
		{"between, several", start().block(blockSecrets, tlsSecrets(le, "a")).enhanced(0, 1, 1, []byte{1}).block(blockSecrets, tlsSecrets(le, "bcdef")).
			enhanced(0, 1, 1, []byte{1}).b, "a\nbcdef\n", Stats{Packets: 2, Secrets: 2}},
		{"longer than anything held", start().enhanced(0, 1, 1, make([]byte, 70_000)).block(blockSecrets, tlsSecrets(le, long)).
			enhanced(0, 1, 1, []byte{1}).b, long + "\n", Stats{Packets: 2, Secrets: 1}},
		{"in a section of the other byte order", start().section(be).iface(1, 0).block(blockSecrets, tlsSecrets(be, "a")).b, "a\n", Stats{Secrets: 1}},
		{"not of TLS", start().block(blockSecrets, append([]byte("LKGW\x01\x00\x00\x00"), 'a')).block(blockSecrets, []byte("KS")).b, "", Stats{OtherSecrets: 2}},
		{"longer than its block", start().block(blockSecrets, append([]byte("KSLT\xff\xff\xff\xff"), "abcd"...)).b, "abcd\n", Stats{Secrets: 1}},
		{"nothing in it", start().block(blockSecrets, tlsSecrets(le, "")).b, "\n", Stats{Secrets: 1}},
	}
	for _, tt := range tests {
		for _, disk := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, disk %v", tt.name, disk), func(t *testing.T) {
				log, stats, err := secretsIn(t, tt.file, disk)
				if err != io.EOF || log != tt.log || stats != tt.stats {
					t.Errorf("%d bytes of log, want %d; %+v, want %+v; %v", len(log), len(tt.log), stats, tt.stats, err)
				}
			})
		}
	}
}

// TestSecretsBehindDamage: what cannot be reached is not looked for, and what
// stands in front is used.
func TestSecretsBehindDamage(t *testing.T) {
	whole := start().block(blockSecrets, tlsSecrets(le, "a")).enhanced(0, 1, 1, []byte{1})
	at := len(whole.b)
	file := whole.enhanced(0, 1, 1, []byte{1}).block(blockSecrets, tlsSecrets(le, "b")).b
	for _, n := range []uint32{0, 8, 13, 1 << 31, 1<<32 - 4} {
		log, _, err := secretsIn(t, claim(file, at+4, n), true)
		var e *Error
		if log != "a\n" || !errors.As(err, &e) {
			t.Errorf("block of %d bytes: %q, %v", n, log, err)
		}
	}
	for n := range file {
		if log, _, _ := secretsIn(t, file[:n], true); log != "" && log != "a\n" && n < len(file) {
			t.Errorf("cut to %d bytes: %q", n, log)
		}
	}
}

// TestSecretsOfRecordedFile: hostile lengths in the captures beside the project.
func TestSecretsOfRecordedFile(t *testing.T) {
	for name, want := range map[string]int{
		"r13_dsbstart": 1, "r13_dsbend": 1, "ng_dsb_editcap": 1, "ng_dsbhuge": 0, "ng_dsbunk": 0, "ng_badlen": 0, "ng_trunc": 0, "ng_plain": 0,
	} {
		r, err := Open(filepath.Join(shared(t), "matrix", name+".pcapng"))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if err := r.UseSecrets(&log); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if got := strings.Count(log.String(), "CLIENT_HANDSHAKE_TRAFFIC_SECRET") + strings.Count(log.String(), "CLIENT_RANDOM"); (got > 0) != (want > 0) {
			t.Errorf("%s: %d secrets", name, got)
		}
	}
}

// FuzzSecrets: the scan ahead finds what reading through finds.
func FuzzSecrets(f *testing.F) {
	f.Add(start().block(blockSecrets, tlsSecrets(le, "a\n")).enhanced(0, 1, 1, []byte{1}).section(be).iface(1, 0).block(blockSecrets, tlsSecrets(be, "bcd")).b)
	f.Add(start().block(blockSecrets, append([]byte("KSLT\xff\xff\xff\xff"), "abcd"...)).b)
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := New(bytes.NewReader(file), "stream")
		if err != nil {
			return
		}
		defer r.Close()
		ng, ok := r.format.(*pcapng)
		if !ok || r.packed != "" {
			return
		}
		var ahead, through bytes.Buffer
		scan := secretsScan{src: bytes.NewReader(file), size: int64(len(file)), log: &ahead}
		if err := scan.run(); err != nil {
			t.Fatal(err)
		}
		ng.secretsTo = &through
		for err == nil {
			var p Packet
			err = r.Next(&p)
		}
		// The reader is stricter: it checks what packets hold.
		if !bytes.HasPrefix(ahead.Bytes(), bytes.TrimSuffix(through.Bytes(), []byte("\n"))) && err == io.EOF {
			t.Fatalf("ahead %q, through %q", ahead.Bytes(), through.Bytes())
		}
	})
}
