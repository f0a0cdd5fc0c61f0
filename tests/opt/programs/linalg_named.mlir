// The named operations of linalg, on memrefs.
func.func @named_batch_matvec(%batch_matvec_A: memref<2x2x2xf64>,
    %batch_matvec_B: memref<2x2xf64>,
    %batch_matvec_C: memref<2x2xf64>,
    %batch_mmt4d_lhs: memref<2x2x2x2x2xf64>,
    %batch_mmt4d_rhs: memref<2x2x2x2x2xf64>,
    %batch_mmt4d_accum: memref<2x2x2x2x2xf64>,
    %batch_vecmat_A: memref<2x2xf64>,
    %batch_vecmat_B: memref<2x2x2xf64>,
    %batch_vecmat_C: memref<2x2xf64>,
    %conv_1d_I: memref<4xf64>,
    %conv_1d_K: memref<2xf64>,
    %conv_1d_O: memref<2xf64>,
    %conv_1d_ncw_fcw_I: memref<2x2x4xf64>,
    %conv_1d_ncw_fcw_K: memref<2x2x2xf64>,
    %conv_1d_ncw_fcw_O: memref<2x2x2xf64>,
    %conv_1d_nwc_wcf_I: memref<2x4x2xf64>,
    %conv_1d_nwc_wcf_K: memref<2x2x2xf64>,
    %conv_1d_nwc_wcf_O: memref<2x2x2xf64>,
    %conv_2d_I: memref<4x4xf64>,
    %conv_2d_K: memref<2x2xf64>,
    %conv_2d_O: memref<2x2xf64>) {
  linalg.batch_matvec ins(%batch_matvec_A, %batch_matvec_B : memref<2x2x2xf64>, memref<2x2xf64>) outs(%batch_matvec_C : memref<2x2xf64>)
  linalg.batch_mmt4d ins(%batch_mmt4d_lhs, %batch_mmt4d_rhs : memref<2x2x2x2x2xf64>, memref<2x2x2x2x2xf64>) outs(%batch_mmt4d_accum : memref<2x2x2x2x2xf64>)
  linalg.batch_vecmat ins(%batch_vecmat_A, %batch_vecmat_B : memref<2x2xf64>, memref<2x2x2xf64>) outs(%batch_vecmat_C : memref<2x2xf64>)
  linalg.conv_1d ins(%conv_1d_I, %conv_1d_K : memref<4xf64>, memref<2xf64>) outs(%conv_1d_O : memref<2xf64>)
  linalg.conv_1d_ncw_fcw ins(%conv_1d_ncw_fcw_I, %conv_1d_ncw_fcw_K : memref<2x2x4xf64>, memref<2x2x2xf64>) outs(%conv_1d_ncw_fcw_O : memref<2x2x2xf64>)
  linalg.conv_1d_nwc_wcf ins(%conv_1d_nwc_wcf_I, %conv_1d_nwc_wcf_K : memref<2x4x2xf64>, memref<2x2x2xf64>) outs(%conv_1d_nwc_wcf_O : memref<2x2x2xf64>)
  linalg.conv_2d ins(%conv_2d_I, %conv_2d_K : memref<4x4xf64>, memref<2x2xf64>) outs(%conv_2d_O : memref<2x2xf64>)
  return
}
// -----
func.func @named_conv_2d_nchw_fchw(%conv_2d_nchw_fchw_I: memref<2x2x4x4xf64>,
    %conv_2d_nchw_fchw_K: memref<2x2x2x2xf64>,
    %conv_2d_nchw_fchw_O: memref<2x2x2x2xf64>,
    %conv_2d_nchw_fchw_q_I: memref<2x2x4x4xi8>,
    %conv_2d_nchw_fchw_q_K: memref<2x2x2x2xi8>,
    %conv_2d_nchw_fchw_q_IZp: i32,
    %conv_2d_nchw_fchw_q_KZp: i32,
    %conv_2d_nchw_fchw_q_O: memref<2x2x2x2xi32>,
    %conv_2d_ngchw_fgchw_I: memref<2x2x2x4x4xf64>,
    %conv_2d_ngchw_fgchw_K: memref<2x2x2x2x2xf64>,
    %conv_2d_ngchw_fgchw_O: memref<2x2x2x2x2xf64>,
    %conv_2d_ngchw_gfchw_I: memref<2x2x2x4x4xf64>,
    %conv_2d_ngchw_gfchw_K: memref<2x2x2x2x2xf64>,
    %conv_2d_ngchw_gfchw_O: memref<2x2x2x2x2xf64>,
    %conv_2d_ngchw_gfchw_q_I: memref<2x2x2x4x4xi8>,
    %conv_2d_ngchw_gfchw_q_K: memref<2x2x2x2x2xi8>,
    %conv_2d_ngchw_gfchw_q_IZp: i32,
    %conv_2d_ngchw_gfchw_q_KZp: i32,
    %conv_2d_ngchw_gfchw_q_O: memref<2x2x2x2x2xi32>,
    %conv_2d_nhwc_fhwc_I: memref<2x4x4x2xf64>,
    %conv_2d_nhwc_fhwc_K: memref<2x2x2x2xf64>,
    %conv_2d_nhwc_fhwc_O: memref<2x2x2x2xf64>,
    %conv_2d_nhwc_fhwc_q_I: memref<2x4x4x2xi8>,
    %conv_2d_nhwc_fhwc_q_K: memref<2x2x2x2xi8>,
    %conv_2d_nhwc_fhwc_q_IZp: i32,
    %conv_2d_nhwc_fhwc_q_KZp: i32,
    %conv_2d_nhwc_fhwc_q_O: memref<2x2x2x2xi32>) {
  linalg.conv_2d_nchw_fchw ins(%conv_2d_nchw_fchw_I, %conv_2d_nchw_fchw_K : memref<2x2x4x4xf64>, memref<2x2x2x2xf64>) outs(%conv_2d_nchw_fchw_O : memref<2x2x2x2xf64>)
  linalg.conv_2d_nchw_fchw_q ins(%conv_2d_nchw_fchw_q_I, %conv_2d_nchw_fchw_q_K, %conv_2d_nchw_fchw_q_IZp, %conv_2d_nchw_fchw_q_KZp : memref<2x2x4x4xi8>, memref<2x2x2x2xi8>, i32, i32) outs(%conv_2d_nchw_fchw_q_O : memref<2x2x2x2xi32>)
  linalg.conv_2d_ngchw_fgchw ins(%conv_2d_ngchw_fgchw_I, %conv_2d_ngchw_fgchw_K : memref<2x2x2x4x4xf64>, memref<2x2x2x2x2xf64>) outs(%conv_2d_ngchw_fgchw_O : memref<2x2x2x2x2xf64>)
  linalg.conv_2d_ngchw_gfchw ins(%conv_2d_ngchw_gfchw_I, %conv_2d_ngchw_gfchw_K : memref<2x2x2x4x4xf64>, memref<2x2x2x2x2xf64>) outs(%conv_2d_ngchw_gfchw_O : memref<2x2x2x2x2xf64>)
  linalg.conv_2d_ngchw_gfchw_q ins(%conv_2d_ngchw_gfchw_q_I, %conv_2d_ngchw_gfchw_q_K, %conv_2d_ngchw_gfchw_q_IZp, %conv_2d_ngchw_gfchw_q_KZp : memref<2x2x2x4x4xi8>, memref<2x2x2x2x2xi8>, i32, i32) outs(%conv_2d_ngchw_gfchw_q_O : memref<2x2x2x2x2xi32>)
  linalg.conv_2d_nhwc_fhwc ins(%conv_2d_nhwc_fhwc_I, %conv_2d_nhwc_fhwc_K : memref<2x4x4x2xf64>, memref<2x2x2x2xf64>) outs(%conv_2d_nhwc_fhwc_O : memref<2x2x2x2xf64>)
  linalg.conv_2d_nhwc_fhwc_q ins(%conv_2d_nhwc_fhwc_q_I, %conv_2d_nhwc_fhwc_q_K, %conv_2d_nhwc_fhwc_q_IZp, %conv_2d_nhwc_fhwc_q_KZp : memref<2x4x4x2xi8>, memref<2x2x2x2xi8>, i32, i32) outs(%conv_2d_nhwc_fhwc_q_O : memref<2x2x2x2xi32>)
  return
}
// -----
func.func @named_conv_2d_nhwc_hwcf(%conv_2d_nhwc_hwcf_I: memref<2x4x4x2xf64>,
    %conv_2d_nhwc_hwcf_K: memref<2x2x2x2xf64>,
    %conv_2d_nhwc_hwcf_O: memref<2x2x2x2xf64>,
    %conv_2d_nhwc_hwcf_q_I: memref<2x4x4x2xi8>,
    %conv_2d_nhwc_hwcf_q_K: memref<2x2x2x2xi8>,
    %conv_2d_nhwc_hwcf_q_IZp: i32,
    %conv_2d_nhwc_hwcf_q_KZp: i32,
    %conv_2d_nhwc_hwcf_q_O: memref<2x2x2x2xi32>,
    %conv_2d_nhwgc_gfhwc_I: memref<2x4x4x2x2xf64>,
    %conv_2d_nhwgc_gfhwc_K: memref<2x2x2x2x2xf64>,
    %conv_2d_nhwgc_gfhwc_O: memref<2x2x2x2x2xf64>,
    %conv_2d_nhwgc_gfhwc_q_I: memref<2x4x4x2x2xi8>,
    %conv_2d_nhwgc_gfhwc_q_K: memref<2x2x2x2x2xi8>,
    %conv_2d_nhwgc_gfhwc_q_IZp: i32,
    %conv_2d_nhwgc_gfhwc_q_KZp: i32,
    %conv_2d_nhwgc_gfhwc_q_O: memref<2x2x2x2x2xi32>,
    %conv_3d_I: memref<4x4x4xf64>,
    %conv_3d_K: memref<2x2x2xf64>,
    %conv_3d_O: memref<2x2x2xf64>,
    %conv_3d_ncdhw_fcdhw_I: memref<2x2x4x4x4xf64>,
    %conv_3d_ncdhw_fcdhw_K: memref<2x2x2x2x2xf64>,
    %conv_3d_ncdhw_fcdhw_O: memref<2x2x2x2x2xf64>,
    %conv_3d_ndhwc_dhwcf_I: memref<2x4x4x4x2xf64>,
    %conv_3d_ndhwc_dhwcf_K: memref<2x2x2x2x2xf64>,
    %conv_3d_ndhwc_dhwcf_O: memref<2x2x2x2x2xf64>) {
  linalg.conv_2d_nhwc_hwcf ins(%conv_2d_nhwc_hwcf_I, %conv_2d_nhwc_hwcf_K : memref<2x4x4x2xf64>, memref<2x2x2x2xf64>) outs(%conv_2d_nhwc_hwcf_O : memref<2x2x2x2xf64>)
  linalg.conv_2d_nhwc_hwcf_q ins(%conv_2d_nhwc_hwcf_q_I, %conv_2d_nhwc_hwcf_q_K, %conv_2d_nhwc_hwcf_q_IZp, %conv_2d_nhwc_hwcf_q_KZp : memref<2x4x4x2xi8>, memref<2x2x2x2xi8>, i32, i32) outs(%conv_2d_nhwc_hwcf_q_O : memref<2x2x2x2xi32>)
  linalg.conv_2d_nhwgc_gfhwc ins(%conv_2d_nhwgc_gfhwc_I, %conv_2d_nhwgc_gfhwc_K : memref<2x4x4x2x2xf64>, memref<2x2x2x2x2xf64>) outs(%conv_2d_nhwgc_gfhwc_O : memref<2x2x2x2x2xf64>)
  linalg.conv_2d_nhwgc_gfhwc_q ins(%conv_2d_nhwgc_gfhwc_q_I, %conv_2d_nhwgc_gfhwc_q_K, %conv_2d_nhwgc_gfhwc_q_IZp, %conv_2d_nhwgc_gfhwc_q_KZp : memref<2x4x4x2x2xi8>, memref<2x2x2x2x2xi8>, i32, i32) outs(%conv_2d_nhwgc_gfhwc_q_O : memref<2x2x2x2x2xi32>)
  linalg.conv_3d ins(%conv_3d_I, %conv_3d_K : memref<4x4x4xf64>, memref<2x2x2xf64>) outs(%conv_3d_O : memref<2x2x2xf64>)
  linalg.conv_3d_ncdhw_fcdhw ins(%conv_3d_ncdhw_fcdhw_I, %conv_3d_ncdhw_fcdhw_K : memref<2x2x4x4x4xf64>, memref<2x2x2x2x2xf64>) outs(%conv_3d_ncdhw_fcdhw_O : memref<2x2x2x2x2xf64>)
  linalg.conv_3d_ndhwc_dhwcf ins(%conv_3d_ndhwc_dhwcf_I, %conv_3d_ndhwc_dhwcf_K : memref<2x4x4x4x2xf64>, memref<2x2x2x2x2xf64>) outs(%conv_3d_ndhwc_dhwcf_O : memref<2x2x2x2x2xf64>)
  return
}
// -----
func.func @named_conv_3d_ndhwc_dhwcf_q(%conv_3d_ndhwc_dhwcf_q_I: memref<2x4x4x4x2xi8>,
    %conv_3d_ndhwc_dhwcf_q_K: memref<2x2x2x2x2xi8>,
    %conv_3d_ndhwc_dhwcf_q_IZp: i32,
    %conv_3d_ndhwc_dhwcf_q_KZp: i32,
    %conv_3d_ndhwc_dhwcf_q_O: memref<2x2x2x2x2xi32>,
    %depthwise_conv_1d_ncw_cw_I: memref<2x2x4xf64>,
    %depthwise_conv_1d_ncw_cw_K: memref<2x2xf64>,
    %depthwise_conv_1d_ncw_cw_O: memref<2x2x2xf64>,
    %depthwise_conv_1d_nwc_wc_I: memref<2x4x2xf64>,
    %depthwise_conv_1d_nwc_wc_K: memref<2x2xf64>,
    %depthwise_conv_1d_nwc_wc_O: memref<2x2x2xf64>,
    %depthwise_conv_1d_nwc_wcm_I: memref<2x4x2xf64>,
    %depthwise_conv_1d_nwc_wcm_K: memref<2x2x2xf64>,
    %depthwise_conv_1d_nwc_wcm_O: memref<2x2x2x2xf64>,
    %depthwise_conv_2d_nchw_chw_I: memref<2x2x4x4xf64>,
    %depthwise_conv_2d_nchw_chw_K: memref<2x2x2xf64>,
    %depthwise_conv_2d_nchw_chw_O: memref<2x2x2x2xf64>,
    %depthwise_conv_2d_nhwc_hwc_I: memref<2x4x4x2xf64>,
    %depthwise_conv_2d_nhwc_hwc_K: memref<2x2x2xf64>,
    %depthwise_conv_2d_nhwc_hwc_O: memref<2x2x2x2xf64>,
    %depthwise_conv_2d_nhwc_hwc_q_I: memref<2x4x4x2xi8>,
    %depthwise_conv_2d_nhwc_hwc_q_K: memref<2x2x2xi8>,
    %depthwise_conv_2d_nhwc_hwc_q_IZp: i32,
    %depthwise_conv_2d_nhwc_hwc_q_KZp: i32,
    %depthwise_conv_2d_nhwc_hwc_q_O: memref<2x2x2x2xi32>) {
  linalg.conv_3d_ndhwc_dhwcf_q ins(%conv_3d_ndhwc_dhwcf_q_I, %conv_3d_ndhwc_dhwcf_q_K, %conv_3d_ndhwc_dhwcf_q_IZp, %conv_3d_ndhwc_dhwcf_q_KZp : memref<2x4x4x4x2xi8>, memref<2x2x2x2x2xi8>, i32, i32) outs(%conv_3d_ndhwc_dhwcf_q_O : memref<2x2x2x2x2xi32>)
  linalg.depthwise_conv_1d_ncw_cw ins(%depthwise_conv_1d_ncw_cw_I, %depthwise_conv_1d_ncw_cw_K : memref<2x2x4xf64>, memref<2x2xf64>) outs(%depthwise_conv_1d_ncw_cw_O : memref<2x2x2xf64>)
  linalg.depthwise_conv_1d_nwc_wc ins(%depthwise_conv_1d_nwc_wc_I, %depthwise_conv_1d_nwc_wc_K : memref<2x4x2xf64>, memref<2x2xf64>) outs(%depthwise_conv_1d_nwc_wc_O : memref<2x2x2xf64>)
  linalg.depthwise_conv_1d_nwc_wcm ins(%depthwise_conv_1d_nwc_wcm_I, %depthwise_conv_1d_nwc_wcm_K : memref<2x4x2xf64>, memref<2x2x2xf64>) outs(%depthwise_conv_1d_nwc_wcm_O : memref<2x2x2x2xf64>)
  linalg.depthwise_conv_2d_nchw_chw ins(%depthwise_conv_2d_nchw_chw_I, %depthwise_conv_2d_nchw_chw_K : memref<2x2x4x4xf64>, memref<2x2x2xf64>) outs(%depthwise_conv_2d_nchw_chw_O : memref<2x2x2x2xf64>)
  linalg.depthwise_conv_2d_nhwc_hwc ins(%depthwise_conv_2d_nhwc_hwc_I, %depthwise_conv_2d_nhwc_hwc_K : memref<2x4x4x2xf64>, memref<2x2x2xf64>) outs(%depthwise_conv_2d_nhwc_hwc_O : memref<2x2x2x2xf64>)
  linalg.depthwise_conv_2d_nhwc_hwc_q ins(%depthwise_conv_2d_nhwc_hwc_q_I, %depthwise_conv_2d_nhwc_hwc_q_K, %depthwise_conv_2d_nhwc_hwc_q_IZp, %depthwise_conv_2d_nhwc_hwc_q_KZp : memref<2x4x4x2xi8>, memref<2x2x2xi8>, i32, i32) outs(%depthwise_conv_2d_nhwc_hwc_q_O : memref<2x2x2x2xi32>)
  return
}
// -----
func.func @named_depthwise_conv_2d_nhwc_hwcm(%depthwise_conv_2d_nhwc_hwcm_I: memref<2x4x4x2xf64>,
    %depthwise_conv_2d_nhwc_hwcm_K: memref<2x2x2x2xf64>,
    %depthwise_conv_2d_nhwc_hwcm_O: memref<2x2x2x2x2xf64>,
    %depthwise_conv_2d_nhwc_hwcm_q_I: memref<2x4x4x2xi8>,
    %depthwise_conv_2d_nhwc_hwcm_q_K: memref<2x2x2x2xi8>,
    %depthwise_conv_2d_nhwc_hwcm_q_IZp: i32,
    %depthwise_conv_2d_nhwc_hwcm_q_KZp: i32,
    %depthwise_conv_2d_nhwc_hwcm_q_O: memref<2x2x2x2x2xi32>,
    %depthwise_conv_3d_ncdhw_cdhw_I: memref<2x2x4x4x4xf64>,
    %depthwise_conv_3d_ncdhw_cdhw_K: memref<2x2x2x2xf64>,
    %depthwise_conv_3d_ncdhw_cdhw_O: memref<2x2x2x2x2xf64>,
    %dot_A: memref<2xf64>,
    %dot_B: memref<2xf64>,
    %dot_C: memref<f64>,
    %fill_rng_2d_min: f64,
    %fill_rng_2d_max: f64,
    %fill_rng_2d_seed: i32,
    %fill_rng_2d_O: memref<2x2xf64>,
    %matvec_A: memref<2x2xf64>,
    %matvec_y: memref<2xf64>,
    %matvec_x: memref<2xf64>,
    %mmt4d_lhs: memref<2x2x2x2xf64>,
    %mmt4d_rhs: memref<2x2x2x2xf64>,
    %mmt4d_accum: memref<2x2x2x2xf64>) {
  linalg.depthwise_conv_2d_nhwc_hwcm ins(%depthwise_conv_2d_nhwc_hwcm_I, %depthwise_conv_2d_nhwc_hwcm_K : memref<2x4x4x2xf64>, memref<2x2x2x2xf64>) outs(%depthwise_conv_2d_nhwc_hwcm_O : memref<2x2x2x2x2xf64>)
  linalg.depthwise_conv_2d_nhwc_hwcm_q ins(%depthwise_conv_2d_nhwc_hwcm_q_I, %depthwise_conv_2d_nhwc_hwcm_q_K, %depthwise_conv_2d_nhwc_hwcm_q_IZp, %depthwise_conv_2d_nhwc_hwcm_q_KZp : memref<2x4x4x2xi8>, memref<2x2x2x2xi8>, i32, i32) outs(%depthwise_conv_2d_nhwc_hwcm_q_O : memref<2x2x2x2x2xi32>)
  linalg.depthwise_conv_3d_ncdhw_cdhw ins(%depthwise_conv_3d_ncdhw_cdhw_I, %depthwise_conv_3d_ncdhw_cdhw_K : memref<2x2x4x4x4xf64>, memref<2x2x2x2xf64>) outs(%depthwise_conv_3d_ncdhw_cdhw_O : memref<2x2x2x2x2xf64>)
  linalg.dot ins(%dot_A, %dot_B : memref<2xf64>, memref<2xf64>) outs(%dot_C : memref<f64>)
  linalg.fill_rng_2d ins(%fill_rng_2d_min, %fill_rng_2d_max, %fill_rng_2d_seed : f64, f64, i32) outs(%fill_rng_2d_O : memref<2x2xf64>)
  linalg.matvec ins(%matvec_A, %matvec_y : memref<2x2xf64>, memref<2xf64>) outs(%matvec_x : memref<2xf64>)
  linalg.mmt4d ins(%mmt4d_lhs, %mmt4d_rhs : memref<2x2x2x2xf64>, memref<2x2x2x2xf64>) outs(%mmt4d_accum : memref<2x2x2x2xf64>)
  return
}
// -----
func.func @named_pooling_nchw_max(%pooling_nchw_max_I: memref<2x2x4x4xf64>,
    %pooling_nchw_max_K: memref<2x2xf64>,
    %pooling_nchw_max_O: memref<2x2x2x2xf64>,
    %pooling_nchw_sum_I: memref<2x2x4x4xf64>,
    %pooling_nchw_sum_K: memref<2x2xf64>,
    %pooling_nchw_sum_O: memref<2x2x2x2xf64>,
    %pooling_ncw_max_I: memref<2x2x4xf64>,
    %pooling_ncw_max_K: memref<2xf64>,
    %pooling_ncw_max_O: memref<2x2x2xf64>,
    %pooling_ncw_sum_I: memref<2x2x4xf64>,
    %pooling_ncw_sum_K: memref<2xf64>,
    %pooling_ncw_sum_O: memref<2x2x2xf64>,
    %pooling_ndhwc_max_I: memref<2x4x4x4x2xf64>,
    %pooling_ndhwc_max_K: memref<2x2x2xf64>,
    %pooling_ndhwc_max_O: memref<2x2x2x2x2xf64>,
    %pooling_ndhwc_min_I: memref<2x4x4x4x2xf64>,
    %pooling_ndhwc_min_K: memref<2x2x2xf64>,
    %pooling_ndhwc_min_O: memref<2x2x2x2x2xf64>,
    %pooling_ndhwc_sum_I: memref<2x4x4x4x2xf64>,
    %pooling_ndhwc_sum_K: memref<2x2x2xf64>,
    %pooling_ndhwc_sum_O: memref<2x2x2x2x2xf64>) {
  linalg.pooling_nchw_max ins(%pooling_nchw_max_I, %pooling_nchw_max_K : memref<2x2x4x4xf64>, memref<2x2xf64>) outs(%pooling_nchw_max_O : memref<2x2x2x2xf64>)
  linalg.pooling_nchw_sum ins(%pooling_nchw_sum_I, %pooling_nchw_sum_K : memref<2x2x4x4xf64>, memref<2x2xf64>) outs(%pooling_nchw_sum_O : memref<2x2x2x2xf64>)
  linalg.pooling_ncw_max ins(%pooling_ncw_max_I, %pooling_ncw_max_K : memref<2x2x4xf64>, memref<2xf64>) outs(%pooling_ncw_max_O : memref<2x2x2xf64>)
  linalg.pooling_ncw_sum ins(%pooling_ncw_sum_I, %pooling_ncw_sum_K : memref<2x2x4xf64>, memref<2xf64>) outs(%pooling_ncw_sum_O : memref<2x2x2xf64>)
  linalg.pooling_ndhwc_max ins(%pooling_ndhwc_max_I, %pooling_ndhwc_max_K : memref<2x4x4x4x2xf64>, memref<2x2x2xf64>) outs(%pooling_ndhwc_max_O : memref<2x2x2x2x2xf64>)
  linalg.pooling_ndhwc_min ins(%pooling_ndhwc_min_I, %pooling_ndhwc_min_K : memref<2x4x4x4x2xf64>, memref<2x2x2xf64>) outs(%pooling_ndhwc_min_O : memref<2x2x2x2x2xf64>)
  linalg.pooling_ndhwc_sum ins(%pooling_ndhwc_sum_I, %pooling_ndhwc_sum_K : memref<2x4x4x4x2xf64>, memref<2x2x2xf64>) outs(%pooling_ndhwc_sum_O : memref<2x2x2x2x2xf64>)
  return
}
// -----
func.func @named_pooling_nhwc_max(%pooling_nhwc_max_I: memref<2x4x4x2xf64>,
    %pooling_nhwc_max_K: memref<2x2xf64>,
    %pooling_nhwc_max_O: memref<2x2x2x2xf64>,
    %pooling_nhwc_min_I: memref<2x4x4x2xf64>,
    %pooling_nhwc_min_K: memref<2x2xf64>,
    %pooling_nhwc_min_O: memref<2x2x2x2xf64>,
    %pooling_nhwc_sum_I: memref<2x4x4x2xf64>,
    %pooling_nhwc_sum_K: memref<2x2xf64>,
    %pooling_nhwc_sum_O: memref<2x2x2x2xf64>,
    %pooling_nwc_max_I: memref<2x4x2xf64>,
    %pooling_nwc_max_K: memref<2xf64>,
    %pooling_nwc_max_O: memref<2x2x2xf64>,
    %pooling_nwc_min_I: memref<2x4x2xf64>,
    %pooling_nwc_min_K: memref<2xf64>,
    %pooling_nwc_min_O: memref<2x2x2xf64>,
    %pooling_nwc_sum_I: memref<2x4x2xf64>,
    %pooling_nwc_sum_K: memref<2xf64>,
    %pooling_nwc_sum_O: memref<2x2x2xf64>,
    %quantized_batch_matmul_A: memref<2x2x2xi8>,
    %quantized_batch_matmul_B: memref<2x2x2xi8>,
    %quantized_batch_matmul_AZp: i32,
    %quantized_batch_matmul_BZp: i32,
    %quantized_batch_matmul_C: memref<2x2x2xi32>) {
  linalg.pooling_nhwc_max ins(%pooling_nhwc_max_I, %pooling_nhwc_max_K : memref<2x4x4x2xf64>, memref<2x2xf64>) outs(%pooling_nhwc_max_O : memref<2x2x2x2xf64>)
  linalg.pooling_nhwc_min ins(%pooling_nhwc_min_I, %pooling_nhwc_min_K : memref<2x4x4x2xf64>, memref<2x2xf64>) outs(%pooling_nhwc_min_O : memref<2x2x2x2xf64>)
  linalg.pooling_nhwc_sum ins(%pooling_nhwc_sum_I, %pooling_nhwc_sum_K : memref<2x4x4x2xf64>, memref<2x2xf64>) outs(%pooling_nhwc_sum_O : memref<2x2x2x2xf64>)
  linalg.pooling_nwc_max ins(%pooling_nwc_max_I, %pooling_nwc_max_K : memref<2x4x2xf64>, memref<2xf64>) outs(%pooling_nwc_max_O : memref<2x2x2xf64>)
  linalg.pooling_nwc_min ins(%pooling_nwc_min_I, %pooling_nwc_min_K : memref<2x4x2xf64>, memref<2xf64>) outs(%pooling_nwc_min_O : memref<2x2x2xf64>)
  linalg.pooling_nwc_sum ins(%pooling_nwc_sum_I, %pooling_nwc_sum_K : memref<2x4x2xf64>, memref<2xf64>) outs(%pooling_nwc_sum_O : memref<2x2x2xf64>)
  linalg.quantized_batch_matmul ins(%quantized_batch_matmul_A, %quantized_batch_matmul_B, %quantized_batch_matmul_AZp, %quantized_batch_matmul_BZp : memref<2x2x2xi8>, memref<2x2x2xi8>, i32, i32) outs(%quantized_batch_matmul_C : memref<2x2x2xi32>)
  return
}
// -----
func.func @named_quantized_matmul(%quantized_matmul_A: memref<2x2xi8>,
    %quantized_matmul_B: memref<2x2xi8>,
    %quantized_matmul_AZp: i32,
    %quantized_matmul_BZp: i32,
    %quantized_matmul_C: memref<2x2xi32>,
    %vecmat_y: memref<2xf64>,
    %vecmat_A: memref<2x2xf64>,
    %vecmat_x: memref<2xf64>,
    %pooling_nhwc_max_unsigned_I: memref<2x4x4x2xi32>,
    %pooling_nhwc_max_unsigned_K: memref<2x2xi32>,
    %pooling_nhwc_max_unsigned_O: memref<2x2x2x2xi32>,
    %pooling_nhwc_min_unsigned_I: memref<2x4x4x2xi32>,
    %pooling_nhwc_min_unsigned_K: memref<2x2xi32>,
    %pooling_nhwc_min_unsigned_O: memref<2x2x2x2xi32>,
    %pooling_nwc_max_unsigned_I: memref<2x4x2xi32>,
    %pooling_nwc_max_unsigned_K: memref<2xi32>,
    %pooling_nwc_max_unsigned_O: memref<2x2x2xi32>,
    %pooling_nwc_min_unsigned_I: memref<2x4x2xi32>,
    %pooling_nwc_min_unsigned_K: memref<2xi32>,
    %pooling_nwc_min_unsigned_O: memref<2x2x2xi32>) {
  linalg.quantized_matmul ins(%quantized_matmul_A, %quantized_matmul_B, %quantized_matmul_AZp, %quantized_matmul_BZp : memref<2x2xi8>, memref<2x2xi8>, i32, i32) outs(%quantized_matmul_C : memref<2x2xi32>)
  linalg.vecmat ins(%vecmat_y, %vecmat_A : memref<2xf64>, memref<2x2xf64>) outs(%vecmat_x : memref<2xf64>)
  linalg.pooling_nhwc_max_unsigned ins(%pooling_nhwc_max_unsigned_I, %pooling_nhwc_max_unsigned_K : memref<2x4x4x2xi32>, memref<2x2xi32>) outs(%pooling_nhwc_max_unsigned_O : memref<2x2x2x2xi32>)
  linalg.pooling_nhwc_min_unsigned ins(%pooling_nhwc_min_unsigned_I, %pooling_nhwc_min_unsigned_K : memref<2x4x4x2xi32>, memref<2x2xi32>) outs(%pooling_nhwc_min_unsigned_O : memref<2x2x2x2xi32>)
  linalg.pooling_nwc_max_unsigned ins(%pooling_nwc_max_unsigned_I, %pooling_nwc_max_unsigned_K : memref<2x4x2xi32>, memref<2xi32>) outs(%pooling_nwc_max_unsigned_O : memref<2x2x2xi32>)
  linalg.pooling_nwc_min_unsigned ins(%pooling_nwc_min_unsigned_I, %pooling_nwc_min_unsigned_K : memref<2x4x2xi32>, memref<2xi32>) outs(%pooling_nwc_min_unsigned_O : memref<2x2x2xi32>)
  return
}
// -----
func.func @named_abs(%abs_I: memref<2x3xf64>,
    %abs_O: memref<2x3xf64>,
    %add_lhs: memref<2x3xf64>,
    %add_rhs: memref<2x3xf64>,
    %add_O: memref<2x3xf64>,
    %ceil_I: memref<2x3xf64>,
    %ceil_O: memref<2x3xf64>,
    %copy_I: memref<2x3xf64>,
    %copy_O: memref<2x3xf64>,
    %div_lhs: memref<2x3xf64>,
    %div_rhs: memref<2x3xf64>,
    %div_O: memref<2x3xf64>,
    %erf_I: memref<2x3xf64>,
    %erf_O: memref<2x3xf64>,
    %exp_I: memref<2x3xf64>,
    %exp_O: memref<2x3xf64>,
    %fill_value: f64,
    %fill_O: memref<2x3xf64>,
    %floor_I: memref<2x3xf64>,
    %floor_O: memref<2x3xf64>,
    %log_I: memref<2x3xf64>,
    %log_O: memref<2x3xf64>) {
  linalg.abs ins(%abs_I : memref<2x3xf64>) outs(%abs_O : memref<2x3xf64>)
  linalg.add ins(%add_lhs, %add_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%add_O : memref<2x3xf64>)
  linalg.ceil ins(%ceil_I : memref<2x3xf64>) outs(%ceil_O : memref<2x3xf64>)
  linalg.copy ins(%copy_I : memref<2x3xf64>) outs(%copy_O : memref<2x3xf64>)
  linalg.div ins(%div_lhs, %div_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%div_O : memref<2x3xf64>)
  linalg.erf ins(%erf_I : memref<2x3xf64>) outs(%erf_O : memref<2x3xf64>)
  linalg.exp ins(%exp_I : memref<2x3xf64>) outs(%exp_O : memref<2x3xf64>)
  linalg.fill ins(%fill_value : f64) outs(%fill_O : memref<2x3xf64>)
  linalg.floor ins(%floor_I : memref<2x3xf64>) outs(%floor_O : memref<2x3xf64>)
  linalg.log ins(%log_I : memref<2x3xf64>) outs(%log_O : memref<2x3xf64>)
  return
}
// -----
func.func @named_max(%max_lhs: memref<2x3xf64>,
    %max_rhs: memref<2x3xf64>,
    %max_O: memref<2x3xf64>,
    %min_lhs: memref<2x3xf64>,
    %min_rhs: memref<2x3xf64>,
    %min_O: memref<2x3xf64>,
    %mul_lhs: memref<2x3xf64>,
    %mul_rhs: memref<2x3xf64>,
    %mul_O: memref<2x3xf64>,
    %negf_I: memref<2x3xf64>,
    %negf_O: memref<2x3xf64>,
    %powf_lhs: memref<2x3xf64>,
    %powf_rhs: memref<2x3xf64>,
    %powf_O: memref<2x3xf64>,
    %reciprocal_I: memref<2x3xf64>,
    %reciprocal_O: memref<2x3xf64>,
    %round_I: memref<2x3xf64>,
    %round_O: memref<2x3xf64>,
    %rsqrt_I: memref<2x3xf64>,
    %rsqrt_O: memref<2x3xf64>,
    %select_cond: memref<2x3xi1>,
    %select_lhs: memref<2x3xf64>,
    %select_rhs: memref<2x3xf64>,
    %select_O: memref<2x3xf64>,
    %sqrt_I: memref<2x3xf64>,
    %sqrt_O: memref<2x3xf64>) {
  linalg.max ins(%max_lhs, %max_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%max_O : memref<2x3xf64>)
  linalg.min ins(%min_lhs, %min_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%min_O : memref<2x3xf64>)
  linalg.mul ins(%mul_lhs, %mul_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%mul_O : memref<2x3xf64>)
  linalg.negf ins(%negf_I : memref<2x3xf64>) outs(%negf_O : memref<2x3xf64>)
  linalg.powf ins(%powf_lhs, %powf_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%powf_O : memref<2x3xf64>)
  linalg.reciprocal ins(%reciprocal_I : memref<2x3xf64>) outs(%reciprocal_O : memref<2x3xf64>)
  linalg.round ins(%round_I : memref<2x3xf64>) outs(%round_O : memref<2x3xf64>)
  linalg.rsqrt ins(%rsqrt_I : memref<2x3xf64>) outs(%rsqrt_O : memref<2x3xf64>)
  linalg.select ins(%select_cond, %select_lhs, %select_rhs : memref<2x3xi1>, memref<2x3xf64>, memref<2x3xf64>) outs(%select_O : memref<2x3xf64>)
  linalg.sqrt ins(%sqrt_I : memref<2x3xf64>) outs(%sqrt_O : memref<2x3xf64>)
  return
}
// -----
func.func @named_square(%square_I: memref<2x3xf64>,
    %square_O: memref<2x3xf64>,
    %sub_lhs: memref<2x3xf64>,
    %sub_rhs: memref<2x3xf64>,
    %sub_O: memref<2x3xf64>,
    %tanh_I: memref<2x3xf64>,
    %tanh_O: memref<2x3xf64>) {
  linalg.square ins(%square_I : memref<2x3xf64>) outs(%square_O : memref<2x3xf64>)
  linalg.sub ins(%sub_lhs, %sub_rhs : memref<2x3xf64>, memref<2x3xf64>) outs(%sub_O : memref<2x3xf64>)
  linalg.tanh ins(%tanh_I : memref<2x3xf64>) outs(%tanh_O : memref<2x3xf64>)
  return
}
// -----
func.func @depthwise_of_volumes(%i: memref<1x4x4x4x2xf64>, %k: memref<2x2x2x2xf64>, %o: memref<1x2x2x2x2xf64>,
    %l: memref<2x2x2x2x2xf64>, %p: memref<1x2x2x2x2x2xf64>, %j: memref<1x2x4x4x4xf64>, %m: memref<2x2x2x2xf64>, %q: memref<1x2x2x2x2xf64>) {
  linalg.depthwise_conv_3d_ndhwc_dhwc ins(%i, %k : memref<1x4x4x4x2xf64>, memref<2x2x2x2xf64>) outs(%o : memref<1x2x2x2x2xf64>)
  linalg.depthwise_conv_3d_ndhwc_dhwcm ins(%i, %l : memref<1x4x4x4x2xf64>, memref<2x2x2x2x2xf64>) outs(%p : memref<1x2x2x2x2x2xf64>)
  linalg.depthwise_conv_3d_ncdhw_cdhw ins(%j, %m : memref<1x2x4x4x4xf64>, memref<2x2x2x2xf64>) outs(%q : memref<1x2x2x2x2xf64>)
  return
}
// -----
func.func @strides_and_dilations(%i: memref<1x7x7x2xf64>, %k: memref<2x2x2x3xf64>, %o: memref<1x3x2x3xf64>) {
  linalg.conv_2d_nhwc_hwcf {strides = dense<[2, 3]> : tensor<2xi64>, dilations = dense<[2, 1]> : tensor<2xi64>}
    ins(%i, %k : memref<1x7x7x2xf64>, memref<2x2x2x3xf64>) outs(%o : memref<1x3x2x3xf64>)
  return
}
// -----
func.func @unsigned_quotients(%a: memref<4xi32>, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : i32
  %b = memref.alloc() : memref<4xi32>
  linalg.fill ins(%c3 : i32) outs(%b : memref<4xi32>)
  linalg.div_unsigned ins(%a, %b : memref<4xi32>, memref<4xi32>) outs(%b : memref<4xi32>)
  %q = memref.load %b[%c0] : memref<4xi32>
  %f = arith.uitofp %q : i32 to f64
  %s = math.sin %x : f64
  %r = arith.addf %s, %f : f64
  return %r : f64
}
