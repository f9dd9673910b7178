package report

import (
	"cmp"
	"fmt"

	"whoasked/attribute"
)

// offerLine is whether a browser would offer a certificate.
type offerLine struct {
	Kind    string   `json:"kind"`
	AskedBy string   `json:"asked_by"`
	Name    string   `json:"name,omitempty"`
	SNI     string   `json:"sni,omitempty"`
	File    string   `json:"file"`
	Subject string   `json:"subject"`
	Issuer  string   `json:"issuer"`
	Offered string   `json:"offered"`
	Because []string `json:"because"`
}

// Offer writes a line of kind offer.
func (j *JSON) Offer(o *attribute.Offer) error {
	return j.write(&offerLine{
		Kind: "offer", AskedBy: o.Server.String(), Name: o.Hop, SNI: o.SNI, File: o.File, Subject: o.Subject, Issuer: o.Issuer,
		Offered: o.Offered.String(), Because: append([]string{}, o.Because...),
	})
}

// Offer leaves out what is about the certificates of one person: it is no event
// of the network.
func (l *Log) Offer(*attribute.Offer) error { return nil }

// Offer writes to each.
func (w Both) Offer(o *attribute.Offer) error { return both(w[0].Offer(o), w[1].Offer(o)) }

// shownOffers bounds the certificates that text tells of.
const shownOffers = 64

// Offer takes a certificate into account.
func (t *Text) Offer(o *attribute.Offer) error {
	if len(t.offers) == shownOffers {
		t.moreOffers++
		return nil
	}
	t.offers = append(t.offers, *o)
	return nil
}

// offering writes what a browser would offer to whom.
func (t *Text) offering(p *page) {
	for i := range t.offers {
		o := &t.offers[i]
		if i == 0 || t.offers[i-1].Server != o.Server || t.offers[i-1].SNI != o.SNI {
			p.blank()
			p.line(0, heading, "What a browser would offer "+endpointName(tidy(o.Hop), o.Server)+" as "+cmp.Or(tidy(o.SNI), "no name (no SNI)"))
		}
		var because []string
		for _, text := range o.Because {
			because = append(because, tidy(text))
		}
		p.item(fmt.Sprintf("%s: %s (%s)", [...]string{"cannot be told", "no", "yes"}[o.Offered], tidy(o.Subject), tidy(o.File)), because...)
	}
	if t.moreOffers > 0 {
		p.line(4, plain, fmt.Sprintf("+ %d more; --format json tells all", t.moreOffers))
	}
}
