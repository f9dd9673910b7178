package probe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"whoasked/parse"
)

// rowsOf returns the rows of the parser's table that say a target's preamble.
func rowsOf(to *Target) ([]parse.Preamble, error) {
	if to.Preamble == "" {
		return nil, nil
	}
	var out []parse.Preamble
	all := parse.Preambles()
	for name := range strings.SplitSeq(to.Preamble, "+") {
		i := slices.IndexFunc(all, func(r parse.Preamble) bool { return r.Name == name })
		if i < 0 || len(all[i].Steps) == 0 {
			return nil, fmt.Errorf("%s: a client never begins so", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// wrapped reports whether the handshake goes in packets.
func (t *Target) wrapped() bool {
	rows, _ := rowsOf(t)
	return len(rows) > 0 && rows[len(rows)-1].Wrapped
}

// speak says what comes before TLS. The deadline of t bounds it.
func speak(t *tap, to *Target) error {
	rows, err := rowsOf(to)
	if err != nil {
		return err
	}
	d := dialogue{t: t}
	for i := range rows {
		d.name = rows[i].Name
		call := parse.Call{Host: ownName(d.name, t.flow.Addrs[0].Addr(), to.Host), Target: cmp.Or(to.Behind, t.flow.Addrs[1].String())}
		for _, step := range rows[i].Steps {
			if err := d.take(step, call); err != nil {
				return err
			}
		}
	}
	if len(d.unread) > 0 {
		// Whoever stands between could have put it there (as in CVE-2011-0411).
		return fmt.Errorf("%s: the server says more in the clear before TLS: %s", d.name, quote(d.unread))
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
