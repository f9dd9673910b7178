//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Truth is what is known of one connection by how it was made.
type Truth struct {
	SNI string `json:"sni"`
	// Nth tells connections of the same SNI apart, in the order they were
	// opened, from 0.
	Nth int `json:"nth"`
	Endpoint
	// SuiteName is the IANA name; absent where it was not chosen.
	SuiteName string `json:"suite,omitempty"`

	Client string `json:"client"`
	Cert   Key    `json:"cert,omitempty"` // what the client was given to present
	// Resumed is the client's word.
	Resumed bool `json:"resumed"`
	Asked   bool `json:"asked"`
	// When is "handshake", "renegotiation" or "post-handshake" where asked.
	When string `json:"when,omitempty"`
	// Reply is "certificate" or "empty" where asked.
	Reply string `json:"reply,omitempty"`
	// Required: TLS itself refuses to go on without a certificate.
	Required bool `json:"required"`
	// OK: the server sent application data, as the client saw it.
	OK bool `json:"ok"`
	// WantResumed: the client tried to resume.
	WantResumed bool `json:"want_resumed"`
	// Refused: the client ends the connection over something other than a
	// missing certificate.
	Refused bool `json:"refused,omitempty"`
	// Unknown says why no answer can be found in the bytes; empty for the rest.
	Unknown string `json:"unknown,omitempty"`
	// Detail is what the client printed; kept where OK is not as expected.
	Detail string `json:"-"`
}

// NewTruth puts together what was arranged and what the client found.
func NewTruth(client string, j Job, r Result) Truth {
	t := Truth{SNI: j.SNI, Nth: r.Nth, Endpoint: j.Endpoint, SuiteName: j.Endpoint.suiteName(), Client: client, Cert: j.Cert,
		Resumed: r.Resumed, OK: r.OK, WantResumed: r.Nth > 0, Detail: r.Detail}
	t.Asked = j.Endpoint.Mode != NotAsked && !r.Resumed
	if t.Asked {
		t.When = "handshake"
		t.Reply = pick(j.Cert == "", "empty", "certificate")
		// nginx finishes the handshake and answers with status 400.
		t.Required = j.Endpoint.Mode == Required && j.Endpoint.Server != "nginx"
	}
	return t
}

// WantOK tells whether the server should have answered.
func (t Truth) WantOK() bool { return !t.Refused && (!t.Required || t.Reply != "empty") }

func (t Truth) String() string {
	v := pick(t.tls13(), "1.3", "1.2")
	return fmt.Sprintf("%s/%d %s:%d TLS %s %s %s, client %s, certificate %q, resumed %t", t.SNI, t.Nth, t.Server, t.Port, v,
		t.Mode, t.Cipher, t.Client, t.Cert, t.Resumed)
}

// Keep copies the capture, its truth and the key log into the directory that
// WHOASKED_LAB_KEEP names, under name; without it, it does nothing.
func (l *Lab) Keep(t testing.TB, name, pcap string, truth any) {
	t.Helper()
	dir := os.Getenv("WHOASKED_LAB_KEEP")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	list, err := json.MarshalIndent(truth, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{name + ".json": list}
	for dst, src := range map[string]string{name + ".pcap": pcap, name + ".keys": l.KeyLog()} {
		data, err := os.ReadFile(src)
		if err != nil && !os.IsNotExist(err) { // nobody may have logged keys
			t.Fatal(err)
		}
		files[dst] = data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
