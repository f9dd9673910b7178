package parse

import "testing"

// TestConns: chunks go to the connection of their number, until its last one.
func TestConns(t *testing.T) {
	conns := NewParser(Options{}).NewConns()
	feed := func(number int, end End) *Conn {
		c, _ := conns.Feed(&Chunk{Conn: number, From: Opener, Data: []byte{22, 3, 1}, End: end})
		return c
	}
	second, first := feed(2, Open), feed(0, Open)
	if first == second || feed(0, Open) != first || feed(2, FIN) != second {
		t.Error("chunks of one number are not of one connection")
	}
	if got := first.Handshake().Sides[Opener].Bytes; got != 6 {
		t.Errorf("%d bytes of the opener, want 6", got)
	}
	if second.Handshake().End != FIN || feed(2, Open) == second {
		t.Error("a connection that is over goes on")
	}
}
