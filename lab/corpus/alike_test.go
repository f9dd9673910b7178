package corpus

import (
	"path/filepath"
	"testing"

	"whoasked/attribute"
)

// alike are captures of connections in which nobody asks, but whose records have
// by chance, or by padding, the lengths of an answer to a request.
var alike = []struct {
	name string
	// want is the answer to each connection, in order of time.
	want []attribute.Answer
}{
	// Python's http.client, which offers post-handshake authentication, posts chunks
	// of 200, 70 and 46 bytes to nginx: as long as Certificate, CertificateVerify
	// and Finished. Tickets come late in the first connection.
	{"chunks", []attribute.Answer{attribute.Unknown, attribute.Unknown}},
	// s_client -record_padding 9, 15, 45, 500, 100, 1000, 512 and without, with
	// SHA-384, to s_server; then 9, 15 and 45 with SHA-256, where Finished is as long
	// as an empty Certificate and Finished.
	{"padded", []attribute.Answer{attribute.No, attribute.No, attribute.No, attribute.No, attribute.No, attribute.No, attribute.No, attribute.No,
		attribute.Unknown, attribute.Unknown, attribute.Unknown}},
}

// TestAlike: lengths alone turn no answer around.
func TestAlike(t *testing.T) {
	for _, tt := range alike {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(load(t, filepath.Join("testdata", "alike", tt.name+".pcap")))
			if len(got) != len(tt.want) {
				t.Fatalf("%d connections", len(got))
			}
			for i, c := range got {
				if c.verdict.Asked != tt.want[i] {
					t.Errorf("connection %d: %v, want %v: %v %q", i+1, c.verdict.Asked, tt.want[i], c.verdict.Evidence, c.verdict.Reason)
				}
			}
		})
	}
}
