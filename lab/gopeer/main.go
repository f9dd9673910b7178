// Command gopeer is a TLS server or client on crypto/tls for the tests of
// package lab, a process of its own so that it can live in a network namespace.
//
//	gopeer serve ADDRESS PKI port,version,mode,suite,identity,clientCA...
//	gopeer dial ADDRESS PKI KEYLOG < jobs
//	gopeer proxy ADDRESS PKI IDENTITY [HOST...]   (- for one that does not inspect; HOSTs are not inspected)
//	gopeer mysql ADDRESS TARGET PKI IDENTITY
//	gopeer quic-serve ADDRESS PKI IDENTITY CLIENTCA v1|v2 none|optional|required[+retry]
//	gopeer quic-dial ADDRESS PKI IDENTITY KEYLOG SNI v1|v2
//	gopeer flood ADDRESS SNI,SNI... CONNECTIONS WORKERS PAGES
//	gopeer churn ADDRESS PKI KEYLOG RATE PORT[=IDENTITY]...
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
	case len(os.Args) > 4 && os.Args[1] == "proxy":
		err = proxy(os.Args[2], os.Args[3], os.Args[4], os.Args[5:])
	case len(os.Args) == 6 && os.Args[1] == "mysql":
		err = mysql(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	case len(os.Args) == 8 && os.Args[1] == "quic-serve":
		err = quicServe(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7])
	case len(os.Args) == 8 && os.Args[1] == "quic-dial":
		err = quicDial(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7])
	case len(os.Args) == 7 && os.Args[1] == "flood":
		err = flood(os.Args[2], os.Args[3], os.Args[4:])
	case len(os.Args) > 6 && os.Args[1] == "churn":
		err = churn(os.Args[2], os.Args[3], os.Args[4], os.Args[5:], os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("usage: gopeer serve|dial|proxy|mysql|quic-serve|quic-dial|flood|churn …")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}
