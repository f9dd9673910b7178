package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/offer"
	"whoasked/report"
)

// Bounds of --would-offer.
const (
	maxOfferFiles   = 4096
	maxOffers       = 1 << 16
	passwordSetting = "WHOASKED_CLIENT_CERT_PASSWORD"
)

// offers judges the certificates of a folder by the requests that come.
type offers struct {
	store offer.Store
	all   []attribute.Offer
	seen  map[string]bool
	left  int
}

// readOffers reads what --would-offer names; nil for none. What holds no
// certificate is told and left out.
func (f *probeFlags) readOffers(t *terminal) (*offers, error) {
	if f.wouldOffer == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(f.wouldOffer)
	if err != nil {
		return nil, fmt.Errorf("--would-offer: %w", err)
	}
	o := &offers{seen: make(map[string]bool)}
	if len(entries) > maxOfferFiles {
		return nil, fmt.Errorf("--would-offer: %s has more than %d files", f.wouldOffer, maxOfferFiles)
	}
	for _, e := range entries {
		path := filepath.Join(f.wouldOffer, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := readOffer(path)
		if err == nil {
			err = o.store.Add(e.Name(), data, os.Getenv(passwordSetting))
		}
		if err != nil {
			t.warn(fmt.Sprintf("%s: %v", path, err))
		}
	}
	if len(o.store.Certificates) == 0 {
		return nil, withHint(fmt.Errorf("--would-offer: %s holds no certificates", f.wouldOffer), "PEM, DER and PKCS #12 (.p12, .pfx) are read; folders in it are not")
	}
	return o, nil
}

func readOffer(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, offer.MaxFileBytes+1))
	if len(data) > offer.MaxFileBytes {
		err = fmt.Errorf("has more than %d MiB", offer.MaxFileBytes>>20)
	}
	return data, err
}

// look judges by the request of a connection, if it has one; c may be nil. An
// endpoint whose requests differ by version is told of once for each outcome.
func (o *offers) look(c *attribute.Connection) {
	if o == nil || c == nil || c.Verdict.Asked != attribute.Yes || len(c.Requests) == 0 || c.ServerHello == nil {
		return
	}
	judged := o.store.Judge(c.Requests[0], c.ServerHello.Version.IsTLS13(), time.Now())
	for i := range judged {
		j := &judged[i]
		j.Server, j.Hop, j.SNI = c.Server, c.Hop, serverName(c.Handshake)
		key := fmt.Sprint(j.Server, j.SNI, j.File, j.Subject, j.Offered, j.Because)
		switch {
		case o.seen[key]:
		case len(o.all) == maxOffers:
			o.left++
		default:
			o.seen[key] = true
			o.all = append(o.all, *j)
		}
	}
}

// write reports what came of it, endpoint by endpoint.
func (o *offers) write(w report.Writer) error {
	if o == nil {
		return nil
	}
	slices.SortStableFunc(o.all, func(a, b attribute.Offer) int {
		if c := a.Server.Compare(b.Server); c != 0 {
			return c
		}
		return strings.Compare(a.SNI, b.SNI)
	})
	for i := range o.all {
		if err := w.Offer(&o.all[i]); err != nil {
			return err
		}
	}
	if o.left > 0 {
		return w.Note(capture.Note{Kind: "offers-left", Count: int64(o.left), Text: fmt.Sprintf("%d answers about certificates went beyond what is kept", o.left)})
	}
	return nil
}
