// Command sender puts the packets of a capture on a wire, at its pace or any
// number of times faster, for the tests of package lab that ask how much watch
// bears.
//
//	sender DEVICE FILE SPEED SYNS [TIMES]
//
// SPEED 0 is as fast as it goes. SYNS begin so many connections, each from ends of
// its own, that nobody goes on with, spread evenly over the capture. Into TIMES goes
// when each packet of the capture was sent, nanoseconds since 1970 in eight bytes,
// little-endian. It says in one line of JSON what it did.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// sent is what was done.
type sent struct {
	Packets, Syns, Bytes int64
	Seconds              float64
	times                []int64 // when each packet of the capture was sent
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sender:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 && len(args) != 5 {
		return fmt.Errorf("usage: sender DEVICE FILE SPEED SYNS [TIMES]")
	}
	speed, err := strconv.ParseFloat(args[2], 64)
	if err != nil || speed < 0 {
		return fmt.Errorf("%q is no speed", args[2])
	}
	syns, err := strconv.Atoi(args[3])
	if err != nil || syns < 0 {
		return fmt.Errorf("%q is no number of connections", args[3])
	}
	packets, err := load(args[1])
	if err != nil {
		return err
	}
	w, err := open(args[0])
	if err != nil {
		return err
	}
	done, err := send(w, packets, speed, syns)
	if err != nil {
		return err
	}
	if len(args) == 5 {
		b := make([]byte, 0, 8*len(done.times))
		for _, t := range done.times {
			b = binary.LittleEndian.AppendUint64(b, uint64(t))
		}
		if err := os.WriteFile(args[4], b, 0o644); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}
