package parse

import "bytes"

// preambles names what a stream began with before TLS did, tried in order.
// A row matches by how the opener's or the accepter's stream began.
var preambles = []struct {
	name             string
	opener, accepter string
}{
	{name: "proxy-v2", opener: "\r\n\r\n\x00\r\nQUIT\n"},
	{name: "proxy-v1", opener: "PROXY "},
	{name: "http-connect", opener: "CONNECT "},
	{name: "socks5", opener: "\x05"},
	{name: "socks4", opener: "\x04\x01"},
	{name: "postgresql", opener: "\x00\x00\x00\x08\x04\xd2\x16\x2f"},
	{name: "xmpp", opener: "<?xml"},
	{name: "xmpp", opener: "<stream:"},
	{name: "rdp", opener: "\x03\x00\x00"},
	{name: "tds", opener: "\x12\x01\x00"},
	{name: "imap", accepter: "* OK"},
	{name: "pop3", accepter: "+OK"},
	{name: "sieve", accepter: "\"IMPLEMENTATION\""},
	{name: "irc", accepter: ":"},
	{name: "smtp", opener: "EHLO", accepter: "220"},
	{name: "smtp", opener: "HELO", accepter: "220"},
	{name: "lmtp", opener: "LHLO", accepter: "220"},
	{name: "ftp", opener: "AUTH", accepter: "220"},
	{name: "nntp", accepter: "200"},
	{name: "nntp", accepter: "201"},
}

// preambleName names what came before TLS, empty for nothing.
func preambleName(dirs *[2]direction) string {
	opener, accepter := dirs[Opener].before(), dirs[Accepter].before()
	if len(opener) == 0 && len(accepter) == 0 {
		return ""
	}
	for _, row := range preambles {
		if bytes.HasPrefix(opener, []byte(row.opener)) && bytes.HasPrefix(accepter, []byte(row.accepter)) {
			return row.name
		}
	}
	// MySQL greets with a packet of protocol version 10 behind a 4-byte header.
	if len(accepter) > 4 && accepter[3] == 0 && accepter[4] == 10 {
		return "mysql"
	}
	return "other"
}

// before returns the beginning of the stream if it is not TLS itself.
func (d *direction) before() []byte {
	b := d.first[:d.firstN]
	if len(b) >= 2 && (isRecordType(b[0]) && b[1] == 3 || b[0]&0x80 != 0) {
		return nil
	}
	return b
}
