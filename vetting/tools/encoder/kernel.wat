;; The arithmetic of `encoder.ts` and `network.ts`: layers over the rows of a matrix, a row for each token or word. Sums are of integers or in a fixed
;; order and nothing is fused, so that every machine gets the same bits. Addresses are bytes and aligned to 16; widths are multiples of 8.
;; What leaves the memory's bounds traps. `node .ci/kernel.ts` makes kernel.wasm of it.
(module
  (memory (export "memory") 1)

  ;; Rows of float32 as int16 of 12 bits, so that sums of products with int8 stay within 32 bits; `scales` turns them back.
  (func (export "quantize") (param $x i32) (param $rows i32) (param $width i32) (param $out i32) (param $scales i32)
    (local $at i32) (local $end i32) (local $most v128) (local $top f32) (local $by v128)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $end (i32.add (local.get $x) (i32.shl (local.get $width) (i32.const 2))))
        (local.set $most (f32x4.splat (f32.const 0x1p-60)))
        (local.set $at (local.get $x))
        (loop $next
          (local.set $most (f32x4.max (local.get $most) (f32x4.abs (v128.load (local.get $at)))))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
        (local.set $top
          (f32.max
            (f32.max (f32x4.extract_lane 0 (local.get $most)) (f32x4.extract_lane 1 (local.get $most)))
            (f32.max (f32x4.extract_lane 2 (local.get $most)) (f32x4.extract_lane 3 (local.get $most)))))
        (f32.store (local.get $scales) (f32.div (local.get $top) (f32.const 2047)))
        (local.set $by (f32x4.splat (f32.div (f32.const 2047) (local.get $top))))
        (loop $next
          (v128.store (local.get $out)
            (i16x8.narrow_i32x4_s
              (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (v128.load (local.get $x)) (local.get $by))))
              (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (v128.load offset=16 (local.get $x)) (local.get $by))))))
          (local.set $out (i32.add (local.get $out) (i32.const 16)))
          (br_if $next (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 32))) (local.get $end))))
        (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row))))

  ;; Four sums of four, one in each lane.
  (func $total (param $a v128) (param $b v128) (param $c v128) (param $d v128) (result v128)
    (local.set $a
      (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b))
        (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b))))
    (local.set $c
      (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d))
        (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d))))
    (i32x4.add
      (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a) (local.get $c))
      (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a) (local.get $c))))

  ;; out[row][column] = bias[column] + rowScales[row] · columnScales[column] · Σ a[row][at] · weights[column][at]. Rows are even in number,
  ;; columns a multiple of four: each weight that is read serves two rows.
  (func (export "multiply")
    (param $a i32) (param $rowScales i32) (param $rows i32) (param $width i32)
    (param $weights i32) (param $columnScales i32) (param $bias i32) (param $columns i32) (param $out i32)
    (local $column i32) (local $row i32) (local $at i32)
    (local $a0 i32) (local $a1 i32) (local $w0 i32) (local $w1 i32) (local $w2 i32) (local $w3 i32)
    (local $x v128) (local $y v128) (local $w v128)
    (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128)
    (local $t0 v128) (local $t1 v128) (local $t2 v128) (local $t3 v128)
    (local $zero v128) (local $to i32)
    (loop $nextColumns
      (local.set $w0 (i32.add (local.get $weights) (i32.mul (local.get $column) (local.get $width))))
      (local.set $w1 (i32.add (local.get $w0) (local.get $width)))
      (local.set $w2 (i32.add (local.get $w1) (local.get $width)))
      (local.set $w3 (i32.add (local.get $w2) (local.get $width)))
      (local.set $row (i32.const 0))
      (loop $nextRows
        (local.set $a0 (i32.add (local.get $a) (i32.shl (i32.mul (local.get $row) (local.get $width)) (i32.const 1))))
        (local.set $a1 (i32.add (local.get $a0) (i32.shl (local.get $width) (i32.const 1))))
        (local.set $s0 (local.get $zero)) (local.set $s1 (local.get $zero))
        (local.set $s2 (local.get $zero)) (local.set $s3 (local.get $zero))
        (local.set $t0 (local.get $zero)) (local.set $t1 (local.get $zero))
        (local.set $t2 (local.get $zero)) (local.set $t3 (local.get $zero))
        (local.set $at (i32.const 0))
        (loop $next
          (local.set $x (v128.load (i32.add (local.get $a0) (i32.shl (local.get $at) (i32.const 1)))))
          (local.set $y (v128.load (i32.add (local.get $a1) (i32.shl (local.get $at) (i32.const 1)))))
          (local.set $w (v128.load8x8_s (i32.add (local.get $w0) (local.get $at))))
          (local.set $s0 (i32x4.add (local.get $s0) (i32x4.dot_i16x8_s (local.get $x) (local.get $w))))
          (local.set $t0 (i32x4.add (local.get $t0) (i32x4.dot_i16x8_s (local.get $y) (local.get $w))))
          (local.set $w (v128.load8x8_s (i32.add (local.get $w1) (local.get $at))))
          (local.set $s1 (i32x4.add (local.get $s1) (i32x4.dot_i16x8_s (local.get $x) (local.get $w))))
          (local.set $t1 (i32x4.add (local.get $t1) (i32x4.dot_i16x8_s (local.get $y) (local.get $w))))
          (local.set $w (v128.load8x8_s (i32.add (local.get $w2) (local.get $at))))
          (local.set $s2 (i32x4.add (local.get $s2) (i32x4.dot_i16x8_s (local.get $x) (local.get $w))))
          (local.set $t2 (i32x4.add (local.get $t2) (i32x4.dot_i16x8_s (local.get $y) (local.get $w))))
          (local.set $w (v128.load8x8_s (i32.add (local.get $w3) (local.get $at))))
          (local.set $s3 (i32x4.add (local.get $s3) (i32x4.dot_i16x8_s (local.get $x) (local.get $w))))
          (local.set $t3 (i32x4.add (local.get $t3) (i32x4.dot_i16x8_s (local.get $y) (local.get $w))))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $width))))
        (local.set $to
          (i32.add (local.get $out)
            (i32.shl (i32.add (i32.mul (local.get $row) (local.get $columns)) (local.get $column)) (i32.const 2))))
        (local.set $x (v128.load (i32.add (local.get $columnScales) (i32.shl (local.get $column) (i32.const 2)))))
        (local.set $y (v128.load (i32.add (local.get $bias) (i32.shl (local.get $column) (i32.const 2)))))
        (v128.store (local.get $to)
          (f32x4.add (local.get $y)
            (f32x4.mul
              (f32x4.mul (local.get $x)
                (v128.load32_splat (i32.add (local.get $rowScales) (i32.shl (local.get $row) (i32.const 2)))))
              (f32x4.convert_i32x4_s (call $total (local.get $s0) (local.get $s1) (local.get $s2) (local.get $s3))))))
        (v128.store (i32.add (local.get $to) (i32.shl (local.get $columns) (i32.const 2)))
          (f32x4.add (local.get $y)
            (f32x4.mul
              (f32x4.mul (local.get $x)
                (v128.load32_splat offset=4 (i32.add (local.get $rowScales) (i32.shl (local.get $row) (i32.const 2)))))
              (f32x4.convert_i32x4_s (call $total (local.get $t0) (local.get $t1) (local.get $t2) (local.get $t3))))))
        (br_if $nextRows (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 2))) (local.get $rows))))
      (br_if $nextColumns
        (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 4))) (local.get $columns)))))

  ;; e to the power of each lane, to some 2^-22 of it: 2^n · e^r, r within half of ln 2 by a polynomial.
  (func $exp (param $x v128) (result v128)
    (local $n v128) (local $r v128)
    (local.set $x (f32x4.min (f32x4.max (local.get $x) (f32x4.splat (f32.const -87))) (f32x4.splat (f32.const 87))))
    (local.set $n (f32x4.nearest (f32x4.mul (local.get $x) (f32x4.splat (f32.const 1.44269504)))))
    (local.set $r
      (f32x4.sub
        (f32x4.sub (local.get $x) (f32x4.mul (local.get $n) (f32x4.splat (f32.const 0.693359375))))
        (f32x4.mul (local.get $n) (f32x4.splat (f32.const -2.12194440e-4)))))
    (f32x4.mul
      (f32x4.add (f32x4.splat (f32.const 1))
        (f32x4.mul (local.get $r)
          (f32x4.add (f32x4.splat (f32.const 1))
            (f32x4.mul (local.get $r)
              (f32x4.add (f32x4.splat (f32.const 0.5))
                (f32x4.mul (local.get $r)
                  (f32x4.add (f32x4.splat (f32.const 0.16666667))
                    (f32x4.mul (local.get $r)
                      (f32x4.add (f32x4.splat (f32.const 0.041666667))
                        (f32x4.mul (local.get $r)
                          (f32x4.add (f32x4.splat (f32.const 0.0083333333))
                            (f32x4.mul (local.get $r) (f32x4.splat (f32.const 0.0013888889))))))))))))))
      (i32x4.shl (i32x4.add (i32x4.trunc_sat_f32x4_s (local.get $n)) (i32x4.splat (i32.const 127))) (i32.const 23))))

  ;; Gaussian error linear units in place, by the usual approximation: x / (1 + e^-2u), u = √(2/π) · (x + 0.044715 x³).
  (func (export "gelu") (param $x i32) (param $count i32)
    (local $end i32) (local $v v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $count) (i32.const 2))))
    (loop $next
      (local.set $v (v128.load (local.get $x)))
      (v128.store (local.get $x)
        (f32x4.div (local.get $v)
          (f32x4.add (f32x4.splat (f32.const 1))
            (call $exp
              (f32x4.mul (local.get $v)
                (f32x4.sub (f32x4.splat (f32.const -1.59576912))
                  (f32x4.mul (f32x4.splat (f32.const 0.0713548163)) (f32x4.mul (local.get $v) (local.get $v)))))))))
      (br_if $next (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end)))))

  (func $lanes (param $v v128) (result f32)
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v)))
      (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v)))))

  ;; x = normalized(x + y) · gain + bias, each row of its own.
  (func (export "normalize")
    (param $x i32) (param $y i32) (param $rows i32) (param $width i32) (param $gain i32) (param $bias i32)
    (local $at i32) (local $bytes i32) (local $sum v128) (local $v v128) (local $mean v128) (local $by v128)
    (local.set $bytes (i32.shl (local.get $width) (i32.const 2)))
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $sum (f32x4.splat (f32.const 0)))
        (local.set $at (i32.const 0))
        (loop $next
          (local.set $v
            (f32x4.add
              (v128.load (i32.add (local.get $x) (local.get $at)))
              (v128.load (i32.add (local.get $y) (local.get $at)))))
          (v128.store (i32.add (local.get $x) (local.get $at)) (local.get $v))
          (local.set $sum (f32x4.add (local.get $sum) (local.get $v)))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $bytes))))
        (local.set $mean
          (f32x4.splat (f32.div (call $lanes (local.get $sum)) (f32.convert_i32_u (local.get $width)))))
        (local.set $sum (f32x4.splat (f32.const 0)))
        (local.set $at (i32.const 0))
        (loop $next
          (local.set $v (f32x4.sub (v128.load (i32.add (local.get $x) (local.get $at))) (local.get $mean)))
          (local.set $sum (f32x4.add (local.get $sum) (f32x4.mul (local.get $v) (local.get $v))))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $bytes))))
        (local.set $by
          (f32x4.splat
            (f32.div (f32.const 1)
              (f32.sqrt
                (f32.add
                  (f32.div (call $lanes (local.get $sum)) (f32.convert_i32_u (local.get $width)))
                  (f32.const 1e-12))))))
        (local.set $at (i32.const 0))
        (loop $next
          (v128.store (i32.add (local.get $x) (local.get $at))
            (f32x4.add
              (v128.load (i32.add (local.get $bias) (local.get $at)))
              (f32x4.mul
                (v128.load (i32.add (local.get $gain) (local.get $at)))
                (f32x4.mul
                  (local.get $by)
                  (f32x4.sub (v128.load (i32.add (local.get $x) (local.get $at))) (local.get $mean))))))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $bytes))))
        (local.set $x (i32.add (local.get $x) (local.get $bytes)))
        (local.set $y (i32.add (local.get $y) (local.get $bytes)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row))))

  ;; Attention of one head of 32: out = softmax(q · k) · v. The heads' 32 stand beside each other in a row of `bytes`; q has its scale already.
  ;; `shares` is room for as many floats as there are rows and three more.
  (func (export "attend")
    (param $q i32) (param $k i32) (param $v i32) (param $rows i32) (param $bytes i32) (param $shares i32) (param $out i32)
    (local $row i32) (local $other i32) (local $at i32) (local $end i32) (local $padded i32)
    (local $q0 v128) (local $q1 v128) (local $q2 v128) (local $q3 v128)
    (local $q4 v128) (local $q5 v128) (local $q6 v128) (local $q7 v128)
    (local $one f32) (local $most f32) (local $all v128) (local $share v128)
    (local.set $end (i32.add (local.get $shares) (i32.shl (local.get $rows) (i32.const 2))))
    (local.set $padded (i32.add (local.get $shares)
      (i32.shl (i32.and (i32.add (local.get $rows) (i32.const 3)) (i32.const -4)) (i32.const 2))))
    (loop $nextRow
      (local.set $q0 (v128.load (local.get $q)))
      (local.set $q1 (v128.load offset=16 (local.get $q)))
      (local.set $q2 (v128.load offset=32 (local.get $q)))
      (local.set $q3 (v128.load offset=48 (local.get $q)))
      (local.set $q4 (v128.load offset=64 (local.get $q)))
      (local.set $q5 (v128.load offset=80 (local.get $q)))
      (local.set $q6 (v128.load offset=96 (local.get $q)))
      (local.set $q7 (v128.load offset=112 (local.get $q)))
      (local.set $most (f32.const -inf))
      (local.set $other (local.get $k))
      (local.set $at (local.get $shares))
      (loop $next
        (local.set $one
          (call $lanes
            (f32x4.add
              (f32x4.add
                (f32x4.add
                  (f32x4.mul (local.get $q0) (v128.load (local.get $other)))
                  (f32x4.mul (local.get $q1) (v128.load offset=16 (local.get $other))))
                (f32x4.add
                  (f32x4.mul (local.get $q2) (v128.load offset=32 (local.get $other)))
                  (f32x4.mul (local.get $q3) (v128.load offset=48 (local.get $other)))))
              (f32x4.add
                (f32x4.add
                  (f32x4.mul (local.get $q4) (v128.load offset=64 (local.get $other)))
                  (f32x4.mul (local.get $q5) (v128.load offset=80 (local.get $other))))
                (f32x4.add
                  (f32x4.mul (local.get $q6) (v128.load offset=96 (local.get $other)))
                  (f32x4.mul (local.get $q7) (v128.load offset=112 (local.get $other))))))))
        (f32.store (local.get $at) (local.get $one))
        (local.set $most (f32.max (local.get $most) (local.get $one)))
        (local.set $other (i32.add (local.get $other) (local.get $bytes)))
        (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
      ;; What fills up the last four weighs nothing: below the exponent's lower bound, and taken out of the sum.
      (block $full
        (loop $fill
          (br_if $full (i32.ge_u (local.get $at) (local.get $padded)))
          (f32.store (local.get $at) (f32.const -inf))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (br $fill)))
      (local.set $all (f32x4.splat (f32.const 0)))
      (local.set $at (local.get $shares))
      (loop $next
        (local.set $share (call $exp (f32x4.sub (v128.load (local.get $at)) (f32x4.splat (local.get $most)))))
        (v128.store (local.get $at) (local.get $share))
        (local.set $all (f32x4.add (local.get $all) (local.get $share)))
        (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $padded))))
      (local.set $q0 (f32x4.splat (f32.const 0)))
      (local.set $q1 (local.get $q0)) (local.set $q2 (local.get $q0)) (local.set $q3 (local.get $q0))
      (local.set $q4 (local.get $q0)) (local.set $q5 (local.get $q0)) (local.set $q6 (local.get $q0))
      (local.set $q7 (local.get $q0))
      (local.set $other (local.get $v))
      (local.set $at (local.get $shares))
      (loop $next
        (local.set $share (v128.load32_splat (local.get $at)))
        (local.set $q0 (f32x4.add (local.get $q0) (f32x4.mul (local.get $share) (v128.load (local.get $other)))))
        (local.set $q1 (f32x4.add (local.get $q1) (f32x4.mul (local.get $share) (v128.load offset=16 (local.get $other)))))
        (local.set $q2 (f32x4.add (local.get $q2) (f32x4.mul (local.get $share) (v128.load offset=32 (local.get $other)))))
        (local.set $q3 (f32x4.add (local.get $q3) (f32x4.mul (local.get $share) (v128.load offset=48 (local.get $other)))))
        (local.set $q4 (f32x4.add (local.get $q4) (f32x4.mul (local.get $share) (v128.load offset=64 (local.get $other)))))
        (local.set $q5 (f32x4.add (local.get $q5) (f32x4.mul (local.get $share) (v128.load offset=80 (local.get $other)))))
        (local.set $q6 (f32x4.add (local.get $q6) (f32x4.mul (local.get $share) (v128.load offset=96 (local.get $other)))))
        (local.set $q7 (f32x4.add (local.get $q7) (f32x4.mul (local.get $share) (v128.load offset=112 (local.get $other)))))
        (local.set $other (i32.add (local.get $other) (local.get $bytes)))
        (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
      (local.set $share (f32x4.splat (f32.div (f32.const 1) (call $lanes (local.get $all)))))
      (v128.store (local.get $out) (f32x4.mul (local.get $q0) (local.get $share)))
      (v128.store offset=16 (local.get $out) (f32x4.mul (local.get $q1) (local.get $share)))
      (v128.store offset=32 (local.get $out) (f32x4.mul (local.get $q2) (local.get $share)))
      (v128.store offset=48 (local.get $out) (f32x4.mul (local.get $q3) (local.get $share)))
      (v128.store offset=64 (local.get $out) (f32x4.mul (local.get $q4) (local.get $share)))
      (v128.store offset=80 (local.get $out) (f32x4.mul (local.get $q5) (local.get $share)))
      (v128.store offset=96 (local.get $out) (f32x4.mul (local.get $q6) (local.get $share)))
      (v128.store offset=112 (local.get $out) (f32x4.mul (local.get $q7) (local.get $share)))
      (local.set $q (i32.add (local.get $q) (local.get $bytes)))
      (local.set $out (i32.add (local.get $out) (local.get $bytes)))
      (br_if $nextRow (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (local.get $rows)))))

  ;; out[row][column] += Σ x[row][at] · weights[at][column]; columns are a multiple of 16.
  (func (export "accumulate")
    (param $x i32) (param $rows i32) (param $width i32) (param $weights i32) (param $columns i32) (param $out i32)
    (local $column i32) (local $at i32) (local $end i32) (local $w i32) (local $step i32) (local $to i32)
    (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128) (local $one v128)
    (local.set $step (i32.shl (local.get $columns) (i32.const 2)))
    (block $done
      (loop $nextRow
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $end (i32.add (local.get $x) (i32.shl (local.get $width) (i32.const 2))))
        (local.set $column (i32.const 0))
        (loop $nextColumns
          (local.set $to (i32.add (local.get $out) (local.get $column)))
          (local.set $w (i32.add (local.get $weights) (local.get $column)))
          (local.set $s0 (v128.load (local.get $to)))
          (local.set $s1 (v128.load offset=16 (local.get $to)))
          (local.set $s2 (v128.load offset=32 (local.get $to)))
          (local.set $s3 (v128.load offset=48 (local.get $to)))
          (local.set $at (local.get $x))
          (loop $next
            (local.set $one (v128.load32_splat (local.get $at)))
            (local.set $s0 (f32x4.add (local.get $s0) (f32x4.mul (local.get $one) (v128.load (local.get $w)))))
            (local.set $s1 (f32x4.add (local.get $s1) (f32x4.mul (local.get $one) (v128.load offset=16 (local.get $w)))))
            (local.set $s2 (f32x4.add (local.get $s2) (f32x4.mul (local.get $one) (v128.load offset=32 (local.get $w)))))
            (local.set $s3 (f32x4.add (local.get $s3) (f32x4.mul (local.get $one) (v128.load offset=48 (local.get $w)))))
            (local.set $w (i32.add (local.get $w) (local.get $step)))
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
          (v128.store (local.get $to) (local.get $s0))
          (v128.store offset=16 (local.get $to) (local.get $s1))
          (v128.store offset=32 (local.get $to) (local.get $s2))
          (v128.store offset=48 (local.get $to) (local.get $s3))
          (br_if $nextColumns
            (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 64))) (local.get $step))))
        (local.set $x (local.get $end))
        (local.set $out (i32.add (local.get $out) (local.get $step)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $nextRow))))

  ;; What is below zero is nothing.
  (func (export "relu") (param $x i32) (param $count i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $count) (i32.const 2))))
    (loop $next
      (v128.store (local.get $x) (f32x4.max (v128.load (local.get $x)) (f32x4.splat (f32.const 0))))
      (br_if $next (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end)))))
)
