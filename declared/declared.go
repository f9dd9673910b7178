// Package declared reads what an operator can export about TLS endpoints without
// any call of ours: settings of Azure API Management and Application Gateway in
// JSON, nginx -T, HAProxy configurations. Out of each come hops: addresses, host
// names and what is declared about requests for client certificates.
//
// Everything is a pure function of bytes. Fields that are not known are ignored;
// what is missing, or cannot be told from the export, is a Note.
package declared

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unicode/utf16"

	"whoasked/attribute"
)

// Bounds of an export.
const (
	MaxBytes  = 16 << 20
	maxHops   = 1000
	maxNames  = 10_000 // of all hops together
	maxNotes  = 100
	maxDepth  = 32      // of blocks, and of includes
	maxPieces = 200_000 // directives of nginx, with those of includes, and lines of HAProxy
)

// Hop is a hop and where in the export it was read.
type Hop struct {
	attribute.Hop
	From []string
}

// Note is something missing, or not to be told from the export.
type Note struct {
	Place string // "apim.json: hostnameConfigurations[1]" or "/etc/nginx/nginx.conf:12"
	Text  string
}

// Export is what was read.
type Export struct {
	Kind  string // "API Management", "nginx" …
	Hops  []Hop
	Notes []Note
}

// kinds are the exports that are known; the first that recognises one reads it.
var kinds = [...]struct {
	name string
	fits func([]byte) bool
	read func(*reader, []byte) error
}{
	{"Azure", looksLikeJSON, (*reader).azure},
	{"nginx", looksLikeNginx, (*reader).nginx},
	{"HAProxy", looksLikeHAProxy, (*reader).haproxy},
}

// Read reads an export that is called name. A server that listens at every address
// of its machine is taken to listen at those of machine, if there are any.
func Read(name string, data []byte, machine []netip.Addr) (*Export, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("longer than the %d MiB that are read", MaxBytes>>20)
	}
	data = plain(data)
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("nothing in it")
	}
	for _, k := range kinds {
		if !k.fits(data) {
			continue
		}
		r := &reader{name: name, machine: machine, export: Export{Kind: k.name}}
		if err := k.read(r, data); err != nil {
			return nil, err
		}
		r.build()
		return &r.export, nil
	}
	return nil, errors.New("neither JSON of az, nor nginx -T, nor a HAProxy configuration")
}

// plain takes off a byte order mark, and makes UTF-8 of the UTF-16 that a redirection
// in Windows PowerShell writes.
func plain(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	}
	units := make([]uint16, 0, len(data)/2)
	for data = data[2:]; len(data) > 1; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return []byte(string(utf16.Decode(units)))
}

// reader collects what is found in an export.
type reader struct {
	name      string
	machine   []netip.Addr
	listeners []listener
	behind    []behind
	export    Export
	odd       int // times that a value was not what it should be
}

// note keeps a note, up to a bound.
func (r *reader) note(place, format string, args ...any) {
	switch n := len(r.export.Notes); {
	case n < maxNotes:
		r.export.Notes = append(r.export.Notes, Note{place, fmt.Sprintf(format, args...)})
	case n == maxNotes:
		r.export.Notes = append(r.export.Notes, Note{r.name, "there is more like this, which is not listed"})
	}
}

// hostname reads a name, or notes why it says nothing.
func (r *reader) hostname(place, s string) (attribute.Hostname, bool) {
	n, err := attribute.ParseHostname(s)
	if err != nil {
		r.note(place, "%.80q cannot be a host name of a hop, and is left out", s)
	}
	return n, err == nil
}
