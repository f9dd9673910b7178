package parse

import (
	"net/netip"
	"testing"
)

// TestSpeak lets every row speak to replies of a server, whole and byte by
// byte, and lets the listener hear the same: it must name the row.
func TestSpeak(t *testing.T) {
	call := Call{
		User: "eve", Password: "s3cret",
		Host: "contoso.test", Target: "portal.contoso.test:443",
		Source: netip.MustParseAddrPort("198.18.0.10:40000"), Dest: netip.MustParseAddrPort("198.18.0.20:443"),
	}
	replies := map[string][]string{
		"proxy-v1": {""}, "proxy-v2": {""}, "mysql": {mysqlGreeting, ""},
		"http-connect":    {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
		"http-upgrade":    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.2\r\n\r\n"},
		"socks5":          {"\x05\x00", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
		"socks5-password": {"\x05\x02", "\x01\x00", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
		"socks4":          {"\x00\x5a\x00\x00\x00\x00\x00\x00"}, "socks4a": {"\x00\x5a\x00\x00\x00\x00\x00\x00"},
		"postgresql": {"S"}, "ldap": {"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"},
		"rdp":  {"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x01\x08\x00\x01\x00\x00\x00"},
		"tds":  {string(tdsReply(1))},
		"xmpp": {"<?xml version='1.0'?><stream:stream><stream:features><starttls/></stream:features>", "<proceed xmlns='x'/>"},
		"imap": {"* OK [CAPABILITY IMAP4rev1] hi\r\n", "* x\r\na1 OK go\r\n"}, "pop3": {"+OK hi\r\n", "+OK go\r\n"},
		"sieve": {"\"IMPLEMENTATION\" \"x\"\r\nOK\r\n", "OK \"go\"\r\n"}, "smtp": {"220-a\r\n220 b\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n"},
		"ftp": {"220 hi\r\n", "234 go\r\n"}, "nntp": {"200 hi\r\n", "382 go\r\n"}, "irc": {":s NOTICE * :x\r\n:s 670 * :go\r\n"},
	}
	replies["lmtp"], replies["xmpp-server"] = replies["smtp"], replies["xmpp"]
	tls := afterPreamble(t)
	for _, row := range Preambles() {
		said := replies[row.Name]
		if len(said) != len(row.Steps) {
			t.Errorf("%s: %d steps, %d replies", row.Name, len(row.Steps), len(said))
			continue
		}
		if row.Name == "socks4" {
			call.Target = "198.18.0.20:443"
		} else {
			call.Target = "portal.contoso.test:443"
		}
		var chunks []Chunk
		for i, step := range row.Steps {
			if step.Send != nil {
				b := step.Send(call)
				if len(b) == 0 {
					t.Errorf("%s: step %d says nothing", row.Name, i)
				}
				chunks = append(chunks, Chunk{Flow: testFlow, Time: testStart, Data: b})
			}
			if step.Await == nil {
				continue
			}
			b := []byte(said[i])
			for n := range b {
				if got, r := step.Await(b[:n]); r != ReplyPending || got != 0 {
					t.Errorf("%s: step %d says %v, %d of %q", row.Name, i, r, got, b[:n])
				}
			}
			if n, r := step.Await(append(b[:len(b):len(b)], "more"...)); r != ReplyGo || n != len(b) {
				t.Errorf("%s: step %d says %v, %d of %q", row.Name, i, r, n, b)
			}
			chunks = append(chunks, Chunk{Flow: testFlow, Time: testStart, From: Accepter, Data: b})
		}
		if len(row.Steps) == 0 || row.Wrapped {
			continue
		}
		h, _ := feed(NewParser(Options{}), append(chunks, tls...))
		want := row.Name
		if want == "socks5-password" {
			want = "socks5"
		}
		if h.Preamble != want || len(h.Requests) != 1 {
			t.Errorf("%s is heard as %q", row.Name, h.Preamble)
		}
	}
}

// TestRefused: what a server says when it will not.
func TestRefused(t *testing.T) {
	rows := make(map[string]Preamble)
	for _, row := range Preambles() {
		rows[row.Name] = row
	}
	for _, tt := range []struct {
		name, reply string
		want        Reply
	}{
		{"http-connect", "HTTP/1.1 407 No\r\n\r\n", ReplyRefused}, {"http-connect", "SSH-2.0-x\r\n", ReplyForeign},
		{"http-upgrade", "HTTP/1.1 200 OK\r\n\r\n", ReplyRefused},
		{"socks5", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", ReplyRefused}, {"socks5", "HTTP/1.0 400", ReplyForeign},
		{"socks5-password", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", ReplyRefused},
		{"socks4", "\x00\x5b\x00\x00\x00\x00\x00\x00", ReplyRefused},
		{"postgresql", "N", ReplyRefused}, {"postgresql", "H", ReplyForeign},
		{"ldap", "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00", ReplyRefused}, {"ldap", "HTTP/1.0", ReplyForeign},
		{"rdp", "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x02\x00\x00\x00", ReplyRefused},
		{"rdp", "\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00", ReplyRefused},
		{"tds", string(tdsReply(2)), ReplyRefused}, {"tds", "HTTP/1.0 400 Bad", ReplyForeign},
		{"xmpp", "<failure xmlns='x'/>", ReplyRefused}, {"imap", "a1 NO\r\n", ReplyRefused}, {"imap", "a1 BAD\r\n", ReplyRefused},
		{"pop3", "-ERR\r\n", ReplyRefused}, {"sieve", "NO\r\n", ReplyRefused}, {"smtp", "454 not now\r\n", ReplyRefused},
		{"smtp", "<html>\r\n", ReplyForeign}, {"ftp", "500 what\r\n", ReplyRefused}, {"nntp", "580 no\r\n", ReplyRefused},
		{"irc", ":s 691 * :no\r\n", ReplyRefused}, {"irc", ":s 421 * STARTTLS :unknown\r\n", ReplyRefused},
	} {
		steps := rows[tt.name].Steps
		if _, r := steps[len(steps)-1].Await([]byte(tt.reply)); r != tt.want {
			t.Errorf("%s: %q is %v, want %v", tt.name, tt.reply, r, tt.want)
		}
	}
	if _, r := rows["mysql"].Steps[0].Await([]byte("\x10\x00\x00\x00\xffx\x04Host is blocked")); r != ReplyRefused {
		t.Errorf("mysql: %v", r)
	}
}
