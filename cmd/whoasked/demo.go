package main

import (
	_ "embed"
	"net/netip"

	"github.com/spf13/cobra"

	"whoasked/attribute"
)

// The captures of the demo were recorded at the same time with real servers,
// curl and a browser, at the client and behind the gateway.
var (
	//go:embed demo/client.pcap.gz
	demoClient []byte
	//go:embed demo/appgw.pcap.gz
	demoGateway []byte
)

// demoHops are the names of what was recorded.
func demoHops() attribute.Hops {
	at := func(addrs ...string) (out []attribute.Range) {
		for _, a := range addrs {
			out = append(out, attribute.Range{Prefix: netip.MustParsePrefix(a)})
		}
		return out
	}
	return attribute.Hops{
		{Name: "appgw", Kind: "appgw", Addresses: at("198.18.0.20/32", "198.18.1.20/32")},
		{Name: "apim", Kind: "apim", Addresses: at("198.18.1.30/32")},
	}
}

func newDemo(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Answer from captures that come with the program",
		Long: `demo does what read does, on two captures that are part of the program: it
shows what an answer looks like. A person opens a portal; its page loads something
from an API, and the browser asks for a certificate. Both names lead through a
gateway, appgw, to the machine behind it, apim. One capture was made at the
client, the other behind the gateway. docs/seed-incident.md tells the story.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			if !loaded.Given("hops") {
				loaded.Hops = demoHops()
			}
			loaded.Confirm = false // who was recorded is nobody to connect to
			return answer(cmd.Context(), &loaded.Config, t, []input{
				bytesInput("client.pcap.gz", demoClient), bytesInput("appgw.pcap.gz", demoGateway),
			})
		},
	}
	addSettings(cmd)
	return cmd
}
