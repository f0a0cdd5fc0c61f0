// How the blocks of a launch are run in chunks, so that its sums of floats are the same whatever the number of threads.

// How many of `blocks` blocks, each of `work` operations, a chunk has. All of them, which is one chunk, if the launch is
// short, or if a private copy of `cells` cells for each of at least 4 chunks would not be small beside the work. Else
// there are about 64 chunks, fewer where the copies ask for it. A chunk has whole slabs of the grid, else whole rows,
// if there are at least 8 of these.
func.func private @dsl.chunk_size(%blocks: index, %work: index, %cells: index, %row: index, %slab: index) -> index {
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %c32 = arith.constant 32 : index
  %c64 = arith.constant 64 : index
  %least = arith.constant $worthwhile : index
  %total = arith.muli %blocks, %work : index
  %copies = arith.muli %cells, %c32 : index
  %some = arith.maxui %copies, %c1 : index
  %affordable = arith.divui %total, %some : index
  %chunks = arith.minui %affordable, %c64 : index
  %few = arith.cmpi ult, %chunks, %c4 : index
  %short = arith.cmpi ult, %total, %least : index
  %one = arith.ori %few, %short : i1
  %size = scf.if %one -> index {
    scf.yield %blocks : index
  } else {
    %even = arith.ceildivui %blocks, %chunks : index
    %row1 = arith.maxui %row, %c1 : index
    %slab1 = arith.maxui %slab, %c1 : index
    %rows = arith.divui %blocks, %row1 : index
    %slabs = arith.divui %blocks, %slab1 : index
    %many_rows = arith.cmpi uge, %rows, %c8 : index
    %many_slabs = arith.cmpi uge, %slabs, %c8 : index
    %by_row = arith.select %many_rows, %row1, %c1 : index
    %by = arith.select %many_slabs, %slab1, %by_row : index
    %units = arith.ceildivui %even, %by : index
    %whole = arith.muli %units, %by : index
    %limited = arith.minui %whole, %blocks : index
    scf.yield %limited : index
  }
  return %size : index
}

// The order of chunks whose windows are windows[chunk, array, axis, (least, most)]: first those of even number, which may
// run at once, as no two of them reach the same cell; then those of odd number; then, to be run one after the other,
// chunks that would meet another of their kind. Returns how many there are of each.
func.func private @dsl.phases(%windows: memref<?x?x?x2xindex>, %order: memref<?xindex>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %yes = arith.constant true
  %no = arith.constant false
  %chunks = memref.dim %windows, %c0 : memref<?x?x?x2xindex>
  %arrays = memref.dim %windows, %c1 : memref<?x?x?x2xindex>
  %axes = memref.dim %windows, %c2 : memref<?x?x?x2xindex>
  %late = memref.alloc(%chunks) : memref<?xindex>
  %extents = memref.alloc(%chunks) : memref<?xindex>
  scf.for %c = %c0 to %chunks step %c1 {
    %sum = scf.for %t = %c0 to %arrays step %c1 iter_args(%s = %c0) -> index {
      %part = scf.for %k = %c0 to %axes step %c1 iter_args(%p = %s) -> index {
        %least = memref.load %windows[%c, %t, %k, %c0] : memref<?x?x?x2xindex>
        %most = memref.load %windows[%c, %t, %k, %c1] : memref<?x?x?x2xindex>
        %span = arith.subi %most, %least : index
        %more = arith.addi %p, %span : index
        scf.yield %more : index
      }
      scf.yield %part : index
    }
    memref.store %sum, %extents[%c] : memref<?xindex>
    memref.store %c0, %late[%c] : memref<?xindex>
  }
  scf.for %c = %c0 to %chunks step %c1 {
    %next = arith.addi %c, %c2 : index
    scf.for %d = %next to %chunks step %c2 {
      %meet = scf.for %t = %c0 to %arrays step %c1 iter_args(%any = %no) -> i1 {
        %all = scf.for %k = %c0 to %axes step %c1 iter_args(%so_far = %yes) -> i1 {
          %least = memref.load %windows[%c, %t, %k, %c0] : memref<?x?x?x2xindex>
          %most = memref.load %windows[%c, %t, %k, %c1] : memref<?x?x?x2xindex>
          %least_d = memref.load %windows[%d, %t, %k, %c0] : memref<?x?x?x2xindex>
          %most_d = memref.load %windows[%d, %t, %k, %c1] : memref<?x?x?x2xindex>
          %a = arith.cmpi sle, %least, %most_d : index
          %b = arith.cmpi sle, %least_d, %most : index
          %both = arith.andi %a, %b : i1
          %now = arith.andi %so_far, %both : i1
          scf.yield %now : i1
        }
        %now = arith.ori %any, %all : i1
        scf.yield %now : i1
      }
      scf.if %meet {
        %extent = memref.load %extents[%c] : memref<?xindex>
        %extent_d = memref.load %extents[%d] : memref<?xindex>
        %larger = arith.cmpi sgt, %extent, %extent_d : index
        %goes = arith.select %larger, %c, %d : index
        memref.store %c1, %late[%goes] : memref<?xindex>
      }
    }
  }
  %counts = memref.alloc() : memref<3xindex>
  %end = scf.for %phase = %c0 to %c3 step %c1 iter_args(%at = %c0) -> index {
    %last = scf.for %c = %c0 to %chunks step %c1 iter_args(%here = %at) -> index {
      %is_late = memref.load %late[%c] : memref<?xindex>
      %parity = arith.remui %c, %c2 : index
      %held = arith.cmpi ne, %is_late, %c0 : index
      %kind = arith.select %held, %c2, %parity : index
      %mine = arith.cmpi eq, %kind, %phase : index
      scf.if %mine {
        memref.store %c, %order[%here] : memref<?xindex>
      }
      %step = arith.select %mine, %c1, %c0 : index
      %following = arith.addi %here, %step : index
      scf.yield %following : index
    }
    %count = arith.subi %last, %at : index
    memref.store %count, %counts[%phase] : memref<3xindex>
    scf.yield %last : index
  }
  %even = memref.load %counts[%c0] : memref<3xindex>
  %odd = memref.load %counts[%c1] : memref<3xindex>
  %held = memref.load %counts[%c2] : memref<3xindex>
  return %even, %odd, %held : index, index, index
}
