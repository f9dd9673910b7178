package probe

import (
	"fmt"
	"net/netip"
	"slices"

	"whoasked/parse"
)

// speak says what comes before TLS, by the row of the parser's table that is
// called name; empty for nothing. The deadline of t bounds it.
func speak(t *tap, name, host string) error {
	if name == "" {
		return nil
	}
	rows := parse.Preambles()
	i := slices.IndexFunc(rows, func(r parse.Preamble) bool { return r.Name == name })
	switch {
	case i < 0 || len(rows[i].Steps) == 0:
		return fmt.Errorf("%s: a client never begins so", name)
	case rows[i].Wrapped:
		return fmt.Errorf("%s: a handshake in packets of the protocol cannot be made", name)
	}
	d := dialogue{t: t, name: name}
	call := parse.Call{Host: ownName(name, t.flow.Addrs[0].Addr(), host), Target: t.flow.Addrs[1].String()}
	for _, step := range rows[i].Steps {
		if err := d.take(step, call); err != nil {
			return err
		}
	}
	if len(d.unread) > 0 {
		// Whoever stands between could have put it there (as in CVE-2011-0411).
		return fmt.Errorf("%s: the server says more in the clear before TLS: %s", name, quote(d.unread))
	}
	return nil
}

// ownName is what a Call has for Host: mail servers are told the client's
// address (RFC 5321 §4.1.3), since not every client has a name; others are told
// whom they are taken for.
func ownName(preamble string, own netip.Addr, host string) string {
	switch {
	case preamble != "smtp" && preamble != "lmtp":
		return host
	case own.Is6():
		return "[IPv6:" + own.WithZone("").String() + "]"
	case own.Is4():
		return "[" + own.String() + "]"
	}
	return "localhost"
}

// dialogue is the client's side of what precedes TLS.
type dialogue struct {
	t      *tap
	name   string
	unread []byte // said by the server, and no reply yet
}

func (d *dialogue) take(step parse.Step, call parse.Call) error {
	if step.Send != nil {
		b := step.Send(call)
		if len(b) == 0 {
			return fmt.Errorf("%s: %s cannot be said in the protocol", d.name, call.Target)
		}
		if _, err := d.t.Write(b); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	if step.Await == nil {
		return nil
	}
	return d.await(step.Await)
}

// await reads until the reply is there; the row bounds how long one may be.
func (d *dialogue) await(look func([]byte) (int, parse.Reply)) error {
	buf := make([]byte, 4096)
	for {
		n, r := look(d.unread)
		switch r {
		case parse.ReplyGo:
			d.unread = d.unread[n:]
			return nil
		case parse.ReplyRefused:
			return fmt.Errorf("%s: the server refuses: %s", d.name, quote(d.unread[:n]))
		case parse.ReplyForeign:
			return fmt.Errorf("%s: the server speaks something else: %s", d.name, quote(d.unread))
		}
		n, err := d.t.Read(buf)
		d.unread = append(d.unread, buf[:n]...)
		if err != nil && n == 0 {
			return fmt.Errorf("%s: after %s: %w", d.name, quote(d.unread), err)
		}
	}
}

// quote makes foreign bytes fit to be shown.
func quote(b []byte) string {
	const most = 120
	if len(b) == 0 {
		return "no answer"
	}
	if len(b) > most {
		return fmt.Sprintf("%q… (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}
