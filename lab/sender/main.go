// Command sender puts the packets of a capture on a wire, at its pace or any
// number of times faster, for the tests of package lab that ask how much watch
// bears.
//
//	sender DEVICE FILE SPEED SYNS
//
// SPEED 0 is as fast as it goes. SYNS begin so many connections, each from ends of
// its own, that nobody goes on with, spread evenly over the capture. It says in
// one line of JSON what it did.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// sent is what was done.
type sent struct {
	Packets, Syns, Bytes int64
	Seconds              float64
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sender:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: sender DEVICE FILE SPEED SYNS")
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
	return json.NewEncoder(os.Stdout).Encode(done)
}
