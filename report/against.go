package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"whoasked/attribute"
)

// Bounds of ReadProbed.
const (
	maxSavedBytes = 256 << 20 // of a file
	maxSavedLine  = 4 << 20
)

// ReadProbed reads the lines of kind probe that JSON wrote and hands them to
// take. Other lines are skipped; a file without any is an error.
func ReadProbed(r io.Reader, take func(*attribute.Probed)) error {
	limited := &io.LimitedReader{R: r, N: maxSavedBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxSavedLine)
	n, found := 0, 0
	for lines.Scan() {
		n++
		if limited.N == 0 {
			return fmt.Errorf("has more than %d MiB", maxSavedBytes>>20)
		}
		if len(lines.Bytes()) == 0 {
			continue
		}
		p, err := readProbed(lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if p != nil {
			found++
			take(p)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d has more than %d MiB", n+1, maxSavedLine>>20)
	case err != nil:
		return err
	case found == 0:
		return errors.New("holds nothing that was probed")
	}
	return nil
}

// readProbed reads a line, nil for one of another kind.
func readProbed(data []byte) (*attribute.Probed, error) {
	var kind struct{ Kind string }
	if err := json.Unmarshal(data, &kind); err != nil || kind.Kind == "" {
		return nil, errors.New("is no line of whoasked --format json")
	}
	if kind.Kind != "probe" {
		return nil, nil
	}
	var l probedLine
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	server, err := netip.ParseAddrPort(l.Server)
	if err != nil || l.Version == "" {
		return nil, errors.New("names no server or version")
	}
	demand, err := attribute.ParseDemand(l.Demand)
	if err != nil {
		return nil, err
	}
	if min(l.Sent, l.Asked, l.NotAsked, l.Resumed, l.Unknown, l.Failed) < 0 || l.Asked+l.NotAsked > l.Sent {
		return nil, errors.New("counts what cannot be")
	}
	return &attribute.Probed{
		Server: server, Hop: l.Name, Target: l.Target, SNI: l.SNI, Version: l.Version, ALPN: l.ALPN, Hello: l.Hello,
		Resume: l.Resume, Later: l.Later, Sent: l.Sent, Asked: l.Asked, NotAsked: l.NotAsked, Resumed: l.Resumed,
		Unknown: l.Unknown, Failed: l.Failed, Demand: demand, DemandText: l.Because,
	}, nil
}
