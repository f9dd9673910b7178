package parse

import "bytes"

// Preamble is one protocol that may run in front of TLS on its connection: how
// to recognise it, how its messages are cut and read, and what a client says to
// come to TLS. The listener hears by it; a probe speaks by it.
type Preamble struct {
	// Name as in Handshake.Preamble.
	Name string
	// ALPN is what a client offers where TLS begins without a preamble, empty
	// for nothing in particular; a row with it and no Steps is never heard.
	ALPN string
	// Steps is the client's side of the dialogue, in order; behind the last the
	// ClientHello is due. Nil where a client never begins so.
	Steps []Step
	// Wrapped: the handshake goes in packets of the protocol (TDS 7.x).
	Wrapped bool

	// starts judges how the stream of one side begins, nil for a protocol of
	// text, which is told by clues in its lines.
	starts func(from Side, b []byte) sign
	tongue tongue
	clues  []clue
	// leads: one message of the opener in front of anything else.
	leads bool
}

// clue is how a line of one side may begin, letters in upper case.
type clue struct {
	from   Side
	prefix string
	// sure is set where no other protocol of the table has such a line.
	sure bool
}

// tongue cuts the streams of a protocol into messages and reads them.
type tongue struct {
	// cut returns the length of the message that b begins with: 0 if more bytes
	// are needed to tell, negative if none can begin so.
	cut func(l *listener, from Side, b []byte) int
	// take reads a message; b holds at most its first maxHeard bytes.
	take func(l *listener, from Side, b []byte) turn
}

// turn is what a message means for the bytes behind it.
type turn uint8

const (
	turnStay turn = iota // the protocol goes on
	turnDue              // it goes on, or TLS begins here
	turnOver             // it is over, on both sides: anything may begin
	turnDeaf             // nothing behind it can be told in this direction
)

// preambles is the table, in the order tried.
var preambles = []Preamble{
	{Name: "proxy-v2", leads: true, starts: startsProxy2, tongue: tongue{cutProxy2, takeProxy2},
		Steps: []Step{{Send: sayProxy2}}},
	{Name: "proxy-v1", leads: true, starts: startsProxy1, tongue: tongue{cutProxy1, takeProxy1},
		Steps: []Step{{Send: sayProxy1}}},
	{Name: "http-connect", starts: startsHTTP, tongue: tongue{cutHTTP, takeHTTP},
		Steps: []Step{{sayConnect, awaitHTTP(200, 299)}}},
	{Name: "http-upgrade", // heard as HTTP
		Steps: []Step{{sayUpgrade, awaitHTTP(101, 101)}}},
	{Name: "socks5", starts: startsSocks5, tongue: tongue{cutSocks5, takeSocks5},
		Steps: []Step{{say("\x05\x01\x00"), awaitSocks5Method(0)}, {saySocks5, awaitSocks5}}},
	{Name: "socks5-password", // heard as SOCKS5
		Steps: []Step{
			{say("\x05\x01\x02"), awaitSocks5Method(socksPassword)}, {saySocks5Password, awaitSocks5Password}, {saySocks5, awaitSocks5},
		}},
	{Name: "socks4", starts: startsSocks4, tongue: tongue{cutSocks4, takeSocks4},
		Steps: []Step{{saySocks4, awaitSocks4}}},
	{Name: "socks4a", // heard as SOCKS4
		Steps: []Step{{saySocks4a, awaitSocks4}}},
	{Name: "postgresql", ALPN: "postgresql", starts: startsPostgres, tongue: tongue{cutPostgres, takePostgres},
		Steps: []Step{{say(postgresSSLRequest), awaitPostgres}}},
	{Name: "mysql", starts: startsMySQL, tongue: tongue{cutMySQL, takeMySQL},
		Steps: []Step{{nil, awaitMySQL}, {say(mysqlSSLRequest), nil}}},
	{Name: "ldap", starts: startsLDAP, tongue: tongue{cutLDAP, takeLDAP},
		Steps: []Step{{say(ldapStartTLS), awaitLDAP}}},
	{Name: "rdp", starts: startsTPKT, tongue: tongue{cutTPKT, takeTPKT},
		Steps: []Step{{say(rdpConnect), awaitRDP}}},
	{Name: "tds", Wrapped: true, // heard by unwrap
		Steps: []Step{{say(tdsPrelogin), awaitTDS}}},
	{Name: "tds8", ALPN: "tds/8.0"},

	// Protocols of text. Where clues of several are heard, the first sure one
	// counts, then the first of the table.
	{Name: "xmpp-server", ALPN: "xmpp-server", Steps: xmppSteps("jabber:server"), clues: []clue{
		{Opener, xmppServerStream, true},
	}},
	{Name: "xmpp", ALPN: "xmpp-client", Steps: xmppSteps("jabber:client"), clues: []clue{
		{Opener, "<?XML", false}, {Opener, "<STREAM:", false}, {Accepter, "<?XML", false}, {Accepter, "<STREAM:", false},
	}},
	{Name: "imap", ALPN: "imap", Steps: []Step{
		{nil, awaitText("* OK", "* ")}, {say("a1 STARTTLS\r\n"), awaitText("a1 OK", "a1 ")},
	}, clues: []clue{
		{Accepter, "* OK", true}, {Accepter, "* PREAUTH", true}, {Accepter, "* CAPABILITY", true}, {Opener, imapStartTLS, true},
	}},
	{Name: "pop3", ALPN: "pop3", Steps: []Step{
		{nil, awaitText("+OK", "-ERR")}, {say("STLS\r\n"), awaitText("+OK", "-ERR")},
	}, clues: []clue{
		{Accepter, "+OK", true}, {Opener, "STLS", true}, {Opener, "CAPA\r\n", false},
	}},
	{Name: "sieve", ALPN: "managesieve", Steps: []Step{
		{nil, awaitText("OK", "NO")}, {say("STARTTLS\r\n"), awaitText("OK", "NO")},
	}, clues: []clue{
		{Accepter, "\"IMPLEMENTATION\"", true}, {Accepter, "\"SIEVE\"", true}, {Accepter, "\"STARTTLS\"", true},
	}},
	{Name: "lmtp", Steps: []Step{
		{nil, awaitCode("220")}, {sayHost("LHLO %s\r\n"), awaitCode("250")}, {say("STARTTLS\r\n"), awaitCode("220")},
	}, clues: []clue{
		{Opener, "LHLO ", true},
	}},
	{Name: "ftp", ALPN: "ftp", Steps: []Step{
		{nil, awaitCode("220")}, {say("AUTH TLS\r\n"), awaitCode("234")},
	}, clues: []clue{
		{Opener, "AUTH TLS", true}, {Opener, "AUTH SSL", true}, {Accepter, "234", true},
	}},
	{Name: "smtp", Steps: []Step{
		{nil, awaitCode("220")}, {sayHost("EHLO %s\r\n"), awaitCode("250")}, {say("STARTTLS\r\n"), awaitCode("220")},
	}, clues: []clue{
		{Opener, "EHLO ", true}, {Opener, "HELO ", true}, {Accepter, "220", false},
	}},
	{Name: "nntp", ALPN: "nntp", Steps: []Step{
		{nil, awaitCode("200", "201")}, {say("STARTTLS\r\n"), awaitCode("382")},
	}, clues: []clue{
		{Accepter, "382", true}, {Accepter, "200 ", false}, {Accepter, "201 ", false},
	}},
	{Name: "irc", ALPN: "irc", Steps: []Step{
		{say("STARTTLS\r\n"), awaitIRC},
	}, clues: []clue{
		{Opener, "NICK ", true}, {Opener, "CAP LS", true}, {Accepter, ircStartTLS, true}, {Accepter, ":", false},
	}},
	{Name: "starttls", clues: []clue{{Opener, "STARTTLS", false}}}, // of a protocol unknown
}

// Preambles returns the table of what may run in front of TLS.
func Preambles() []Preamble { return append([]Preamble(nil), preambles...) }

// startsWith judges b by the prefixes that a stream may begin with.
func startsWith(b []byte, prefixes ...string) sign {
	best := signNo
	for _, p := range prefixes {
		n := min(len(b), len(p))
		switch {
		case !bytes.EqualFold(b[:n], []byte(p[:n])):
		case n == len(p):
			return signYes
		default:
			best = signNeedMore
		}
	}
	return best
}
