// Command gopeer is a TLS server or client on crypto/tls for the tests of
// package lab, a process of its own so that it can live in a network namespace.
//
//	gopeer serve ADDRESS PKI port,version,mode,suite,identity,clientCA...
//	gopeer dial ADDRESS PKI KEYLOG < jobs
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) > 3 && os.Args[1] == "serve":
		err = serve(os.Args[2], os.Args[3], os.Args[4:])
	case len(os.Args) == 5 && os.Args[1] == "dial":
		err = dial(os.Args[2], os.Args[3], os.Args[4], os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("usage: gopeer serve|dial …")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}
