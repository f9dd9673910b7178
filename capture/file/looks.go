package file

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"
)

const hintEditcap = "convert it: editcap -F pcapng IN OUT"

// looks lists what people hand to a packet tool by mistake, by the first bytes.
var looks = []struct {
	prefix, what, hint string
}{
	{"\xfd7zXZ\x00", "xz-compressed", "decompress it first: xz -d"},
	{"BZh", "bzip2-compressed", "decompress it first: bzip2 -d"},
	{"\x04\x22\x4d\x18", "lz4-compressed", "decompress it first: lz4 -d"},
	{"\x1f\x8b", "gzip-compressed twice", "decompress it first: gunzip"},
	{"\x28\xb5\x2f\xfd", "compressed twice", "decompress it first: zstd -d"},
	{"PK\x03\x04", "a zip archive", "unpack it first"},
	{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"},
	{"snoop\x00\x00\x00", "a snoop capture", hintEditcap},
	{"RTSS", "a Network Monitor capture", hintEditcap},
	{"GMBU", "a Network Monitor capture", hintEditcap},
	{"TRSNIFF data    \x1a", "a Sniffer capture", hintEditcap},
	{"XCP\x00", "a Sniffer capture", hintEditcap},
	{"\x7fELF", "a program", ""},
	{"MZ", "a program", ""},
	{"\x89PNG", "a picture", "a capture is needed, not a screenshot of one"},
	{"\xff\xd8\xff", "a picture", "a capture is needed, not a screenshot of one"},
	{"%PDF", "a PDF document", ""},
	{"-----BEGIN ", "a PEM file, a certificate or key", ""},
	{"CLIENT_RANDOM ", "a TLS key log", "the capture is another file"},
	{"CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "a TLS key log", "the capture is another file"},
	{"# SSL/TLS secrets", "a TLS key log", "the capture is another file"},
}

// notCapture is the error for a file of another format, which begins with head.
func (r *Reader) notCapture(head []byte) error {
	what, hint := r.guess(head)
	text := "is not a packet capture"
	if r.packed != "" {
		text = "holds no packet capture below its " + r.packed + " compression"
	}
	if what != "" {
		text += ": it looks " + what
	}
	if hint == "" {
		hint = "pcap and pcapng are read; editcap converts many others"
	}
	return &Error{Name: r.name, Kind: NotCapture, Text: text, Hint: hint}
}

func (r *Reader) guess(head []byte) (what, hint string) {
	for _, l := range looks {
		if bytes.HasPrefix(head, []byte(l.prefix)) {
			return like(l.what), l.hint
		}
	}
	if isETL(r.name, head) {
		return "like a Windows event trace", "convert it: etl2pcapng IN OUT, or pktmon etl2pcap IN"
	}
	if len(head) >= 262 && string(head[257:262]) == "ustar" {
		return "like a tar archive", "unpack it first"
	}
	text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n"))
	switch {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return "like a web page", "was a sign-in page downloaded in its place?"
	case strings.HasPrefix(text, "<?xml"):
		return "like XML", "a capture is needed, not an export of one"
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return "like JSON", "a capture is needed, not an export or a HAR file"
	case isText(head):
		return "like text", "write captures with tcpdump -w FILE, not > FILE"
	}
	return "", ""
}

// like reads "compressed" as a quality and everything else as a thing.
func like(what string) string {
	if strings.Contains(what, "compressed") {
		return what
	}
	return "like " + what
}

// isETL tells a log of Event Tracing for Windows, which has no magic number,
// by its name or its first buffer's header: the buffer's size, then the
// filled part of it twice.
func isETL(name string, head []byte) bool {
	if strings.EqualFold(filepath.Ext(name), ".etl") {
		return true
	}
	if len(head) < 12 {
		return false
	}
	size := binary.LittleEndian.Uint32(head)
	saved := binary.LittleEndian.Uint32(head[4:])
	current := binary.LittleEndian.Uint32(head[8:])
	return size >= 1<<10 && size <= 16<<20 && size&(size-1) == 0 && saved > 72 && saved <= size && saved == current
}

func isText(head []byte) bool {
	return !bytes.ContainsFunc(head, func(c rune) bool {
		return c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f' && c != '\x1b' || c == 0xfffd
	})
}
