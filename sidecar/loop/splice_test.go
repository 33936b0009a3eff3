//go:build linux && !netloop && !race

package loop

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"testing"
	"time"
)

// The pipe pages of all proxies of a node are one user's, so none is kept where nothing large moves.
func TestPipesAreGivenBackAndDoneWithout(t *testing.T) {
	l, do := run(t)
	for _, refused := range []bool{false, true} {
		src, srcAddr := listen(t)
		dst, dstAddr := listen(t)
		want := make([]byte, 3<<20+5)
		rand.Read(want)
		go func() {
			c, err := src.Accept()
			if err != nil {
				return
			}
			c.Write(want)
			c.Close()
		}()
		got := make(chan []byte, 1)
		go func() {
			c, err := dst.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			c.Close()
			got <- b
		}()
		do(func() error {
			a, err := l.Dial(srcAddr, DialOptions{})
			if err != nil {
				return err
			}
			defer a.Close()
			b, err := l.Dial(dstAddr, DialOptions{})
			if err != nil {
				return err
			}
			defer b.Close()
			for {
				if refused {
					l.pipeRefused = l.now
				}
				if err := l.Wait(Never, a, nil, a.Readable); err != nil {
					return err
				}
				_, srcErr, err := l.Splice(b, a, -1)
				if err == io.EOF && srcErr {
					return nil
				}
				if err != nil {
					return err
				}
				if refused && l.pipe != (pipe{}) {
					return fmt.Errorf("a pipe was made right after one was refused")
				}
			}
		})
		if !bytes.Equal(<-got, want) {
			t.Errorf("refused %v: other bytes came out", refused)
		}
		do(func() error {
			for end := l.Now() + int64(10*time.Second); l.pipe != (pipe{}) || l.pipeMinded; {
				if l.Now() > end {
					return fmt.Errorf("the pipe is still kept 10 s after the last use")
				}
				l.Sleep(20 * time.Millisecond)
			}
			return nil
		})
	}
}
