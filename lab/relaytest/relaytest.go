// Package relaytest has connections with made-up streams that whoever knows the
// seed can check, for tests of what may change none of it.
package relaytest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"
)

// Script is what one end of a connection does: it writes a stream made from a
// seed, in pieces of random sizes, and then closes its direction or resets.
type Script struct {
	Seed  uint64
	Size  int
	Reset bool
}

// NewScript makes one up, of at most 300,000 bytes; every eighth resets.
func NewScript(rnd *rand.Rand) Script {
	sizes := []int{0, 1, 5, 100, 3000, 70_000, 300_000}
	return Script{Seed: rnd.Uint64(), Size: rnd.IntN(1 + sizes[rnd.IntN(len(sizes))]), Reset: rnd.IntN(8) == 0}
}

// Stream is all that it writes.
func (s Script) Stream() []byte {
	b := make([]byte, s.Size)
	src := rand.NewPCG(s.Seed, 1)
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], src.Uint64())
		copy(b[i:], word[:])
	}
	return b
}

// Play runs a Script on c, within a minute, and returns what came from the other
// end, and how that ended. It closes c.
func (s Script) Play(c *net.TCPConn) Result {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	written := make(chan error, 1)
	go func() {
		rnd := rand.New(rand.NewPCG(s.Seed, 2))
		b := s.Stream()
		for len(b) > 0 {
			n := min(len(b), 1+rnd.IntN([]int{1, 3, 1000, 100_000}[rnd.IntN(4)]))
			if _, err := c.Write(b[:n]); err != nil {
				written <- err
				return
			}
			b = b[n:]
		}
		if !s.Reset {
			_ = c.CloseWrite()
		}
		written <- nil
	}()
	if s.Reset {
		if err := <-written; err != nil {
			return Result{Reset: isReset(err)}
		}
		_ = c.SetLinger(0)
		return Result{}
	}
	got, err := io.ReadAll(c)
	if werr := <-written; werr != nil {
		err = werr
	}
	if isReset(err) {
		return Result{Got: got, Reset: true}
	}
	return Result{Got: got, Err: err}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Result is what one end has seen of the other.
type Result struct {
	Got   []byte
	Reset bool // that is how it ended
	Err   error
}

// Check compares what an end, which played own, has seen with what the other
// end sent.
func (r *Result) Check(sent, own Script) error {
	want := sent.Stream()
	switch {
	case r.Err != nil:
		return r.Err
	case own.Reset:
		return nil // it has not listened to the end
	case sent.Reset:
		if !r.Reset {
			return errors.New("the reset became an orderly end")
		}
		if !bytes.HasPrefix(want, r.Got) {
			return errors.New("other bytes than sent")
		}
	case r.Reset:
		return errors.New("a reset out of nothing")
	case !bytes.Equal(r.Got, want):
		return fmt.Errorf("got %d bytes of %d, or others", len(r.Got), len(want))
	}
	return nil
}

// Pair is what the two ends of a connection do.
type Pair struct{ Client, Server Script }

// Pairs makes up so many; the same for the same seed.
func Pairs(seed uint64, n int) []Pair {
	rnd := rand.New(rand.NewPCG(3+seed, uint64(n)))
	pairs := make([]Pair, n)
	for i := range pairs {
		pairs[i] = Pair{NewScript(rnd), NewScript(rnd)}
	}
	return pairs
}

// Number sends a connection's number, which the other end reads by ReadNumber,
// in front of the script.
func Number(c net.Conn, i int) error {
	_, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return err
}

// ReadNumber is for the end that accepts.
func ReadNumber(c net.Conn) (int, error) {
	var b [8]byte
	_, err := io.ReadFull(c, b[:])
	return int(binary.BigEndian.Uint64(b[:])), err
}
