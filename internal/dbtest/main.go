package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a binary, drops its templates, stops its servers, and fails
// when goroutines are left. Call it from TestMain; it does not return.
func Main(m *testing.M, ignore ...goleak.Option) {
	if dir := os.Getenv(keeperVariable); dir != "" {
		os.Exit(keep(dir))
	}
	inMain = true
	code := m.Run()
	if err := shared.close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := leaks(ignore); err != nil {
			fmt.Fprintln(os.Stderr, "dbtest: goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks returns an error when goroutines are still there after ten seconds. The half second
// of goleak is short where many binaries share a processor.
func leaks(ignore []goleak.Option) error {
	giveUp := time.Now().Add(10 * time.Second)
	for {
		err := goleak.Find(ignore...)
		if err == nil || time.Now().After(giveUp) {
			return err
		}
	}
}

func (b *binary) close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	if b.pg != nil {
		for _, tp := range b.templates {
			if tp.database != "" && !tp.keep {
				errs = append(errs, b.pg.drop(ctx, tp.database))
			}
		}
		errs = append(errs, b.pg.close())
	}
	if b.rd != nil {
		errs = append(errs, b.rd.close())
	}
	return errors.Join(errs...)
}
